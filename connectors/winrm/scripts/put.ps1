# Writes files, each under a temporary name beside its place, which it takes once it is whole.
# A line of standard input is: ">" and in base64 {path, temporary}: the next file begins; "=" and its SHA-1: it ends;
# else a piece of it in base64. Standard input that ends within a file is an upload that was broken off.
# Answers the number of files that are in their place and the last one's SHA-1; of the one that is not, the reason: a
# word, or the HRESULT and the words of what .NET raised.
begin {
    #PROLOGUE
    $base = [Environment]::GetFolderPath('UserProfile')
    $file = $null
    $number = 0
    $sum = ''
    function leave($reason, $problem) {
        if ($file) {
            # What is left in its buffer may not fit on the disk.
            try { $file.Dispose() } catch { }
            try { [IO.File]::Delete($temporary) } catch { }
        }
        $said = @{ number = $number; reason = $reason }
        if ($problem) {
            $said.code = [Runtime.InteropServices.Marshal]::GetHRForException($problem)
            $said.message = $problem.Message
        }
        answer $said
        exit
    }
}
process {
    try {
        $line = [string]$_
        if ($line[0] -eq '>') {
            $json = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($line.Substring(1)))
            $a = ConvertFrom-Json $json
            $path = [IO.Path]::GetFullPath([IO.Path]::Combine($base, $a.path))
            if ([IO.Directory]::Exists($path)) { leave 'is_directory' }
            $temporary = [IO.Path]::Combine([IO.Path]::GetDirectoryName($path), $a.temporary)
            $sha = [Security.Cryptography.SHA1]::Create()
            $file = [IO.File]::Open($temporary, 'CreateNew', 'Write', 'None')
        } elseif ($line[0] -eq '=') {
            $file.Dispose()
            [void]$sha.TransformFinalBlock([byte[]]@(), 0, 0)
            $sum = [BitConverter]::ToString($sha.Hash).Replace('-', '')
            if ($sum -ne $line.Substring(1)) { leave 'changed' }
            if ([IO.File]::Exists($path)) {
                # Replace keeps the access list; it refuses a file that is read-only.
                $was = [IO.File]::GetAttributes($path)
                $readonly = [int]$was -band 1
                if ($readonly) { [IO.File]::SetAttributes($path, 'Normal') }
                # A plain $null would arrive as an empty name of a backup.
                try {
                    [IO.File]::Replace($temporary, $path, [NullString]::Value, $true)
                } catch {
                    # It may have gone wrong between the two names: then the new file is the only one.
                    if ([IO.File]::Exists($path)) { throw }
                    [IO.File]::Move($temporary, $path)
                } finally {
                    if ($readonly) { [IO.File]::SetAttributes($path, $was) }
                }
            } else {
                [IO.File]::Move($temporary, $path)
            }
            $file = $null
            $number++
        } else {
            $bytes = [Convert]::FromBase64String($line)
            $file.Write($bytes, 0, $bytes.Length)
            [void]$sha.TransformBlock($bytes, 0, $bytes.Length, $bytes, 0)
        }
    } catch {
        leave 'failed' ($_.Exception.GetBaseException())
    }
}
end {
    # powershell.exe hands standard input only to a script that names this variable (AstSearcher.IsUsingDollarInput in
    # ConsoleHost.cs), at its top level; the line itself is in $_ above.
    $null = $input
    if ($file) { leave 'cut' }
    answer @{ number = $number; sha1 = $sum }
}
