# Prints files: pieces as lines of ":" and base64, then a line of "=", the number of bytes and their SHA-1.
# Answers only where one can't be read: its number and the reason, a word or the HRESULT and the words of what .NET raised.
#PROLOGUE
$base = [Environment]::GetFolderPath('UserProfile')
# The console's own writer cuts long lines into very many writes.
$out = [Console]::OpenStandardOutput()
function line($text) {
    $bytes = [Text.Encoding]::ASCII.GetBytes($text + "`n")
    $out.Write($bytes, 0, $bytes.Length)
    $out.Flush()
}
$buffer = New-Object byte[] 49152
$number = 0
$file = $null
try {
    foreach ($name in $a.paths) {
        $path = [IO.Path]::GetFullPath([IO.Path]::Combine($base, $name))
        # To open a directory is denied, as if it were a matter of permission.
        if ([IO.Directory]::Exists($path)) {
            answer @{ number = $number; reason = 'is_directory' }
            exit
        }
        $sha = [Security.Cryptography.SHA1]::Create()
        $size = [long]0
        # Others may go on writing to it, and remove it.
        $file = [IO.File]::Open($path, 'Open', 'Read', 'ReadWrite, Delete')
        [void]$file.Seek($a.offset, 'Begin')
        while (($count = $file.Read($buffer, 0, $buffer.Length)) -gt 0) {
            [void]$sha.TransformBlock($buffer, 0, $count, $buffer, 0)
            line (':' + [Convert]::ToBase64String($buffer, 0, $count))
            $size += $count
        }
        $file.Dispose()
        $file = $null
        [void]$sha.TransformFinalBlock([byte[]]@(), 0, 0)
        line ('=' + $size + ' ' + [BitConverter]::ToString($sha.Hash).Replace('-', ''))
        $number++
    }
} catch {
    $problem = $_.Exception.GetBaseException()
    $code = [Runtime.InteropServices.Marshal]::GetHRForException($problem)
    answer @{ number = $number; reason = 'failed'; code = $code; message = $problem.Message }
} finally {
    if ($file) { $file.Dispose() }
}
