# What the scripts that look at files have in common.

# The path with %VARIABLES% expanded, absolute, without "." and ".."; a separator at its end stays.
function full([string]$p) {
    if (-not $p.StartsWith('\\?\')) { $p = [Environment]::ExpandEnvironmentVariables($p) }
    return [IO.Path]::GetFullPath($p)
}

# What is there: file, directory or absent (a link is what it says of itself). Throws where that can't be told.
function kind([string]$p) {
    try {
        if ([IO.File]::GetAttributes($p) -band [IO.FileAttributes]::Directory) { return 'directory' }
        return 'file'
    } catch {
        if ((why $_) -eq 'absent') { return 'absent' }
        throw
    }
}

# A word for what went wrong; the exception of a .NET call is inside another one.
function why($e) {
    $x = $e.Exception.GetBaseException()
    if ($x -is [IO.FileNotFoundException] -or $x -is [IO.DirectoryNotFoundException]) { return 'absent' }
    if ($x -is [IO.DriveNotFoundException]) { return 'absent' }
    if ($x -is [UnauthorizedAccessException] -or $x -is [Security.SecurityException]) { return 'denied' }
    if ($x -is [IO.PathTooLongException]) { return 'long' }
    if ($x -is [ArgumentException] -or $x -is [NotSupportedException]) { return 'invalid' }
    if ($x -is [IO.IOException]) {
        # ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION, ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL
        $n = [Runtime.InteropServices.Marshal]::GetHRForException($x) -band 0xFFFF
        if ($n -eq 32 -or $n -eq 33) { return 'locked' }
        if ($n -eq 39 -or $n -eq 112) { return 'no_space' }
    }
    return 'failed'
}

# What went wrong, in the host's own words.
function said($e) {
    return $e.Exception.GetBaseException().Message.Trim()
}

# A file that others may write to meanwhile, and remove, open for reading.
function opened([string]$p) {
    return [IO.File]::Open($p, 'Open', 'Read', 'ReadWrite, Delete')
}

# The checksum of an open file; these classes work under the FIPS policy too, MD5 apart.
function digest($stream, [string]$algorithm) {
    $h = New-Object -TypeName "System.Security.Cryptography.$($algorithm)CryptoServiceProvider"
    return [BitConverter]::ToString($h.ComputeHash($stream)).Replace('-', '').ToLowerInvariant()
}
