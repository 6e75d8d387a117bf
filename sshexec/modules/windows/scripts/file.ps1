# Makes a directory or an empty file, removes what is there, or sets times.
#
# $a.path, $a.state (file, directory, touch, absent), $a.check; $a.times: what, value (now, preserve or a time), format.
# Answers changed, path; or problem (a word), said, and where it failed: at.
#INCLUDE _paths
$script:at = $a.path

# Removes a tree, of a link the link alone.
function remove([string]$p) {
    $script:at = $p
    $is = [IO.File]::GetAttributes($p)
    $folder = $is -band [IO.FileAttributes]::Directory
    if ($folder -and -not ($is -band [IO.FileAttributes]::ReparsePoint)) {
        foreach ($e in [IO.Directory]::GetFileSystemEntries($p)) { remove $e }
        $script:at = $p
    }
    if ($is -band [IO.FileAttributes]::ReadOnly) {
        (New-Object -TypeName IO.FileInfo -ArgumentList $p).IsReadOnly = $false
    }
    if ($folder) { [IO.Directory]::Delete($p, $false) } else { [IO.File]::Delete($p) }
}

# Sets one of the times; returns whether it was another one.
function settime([string]$p, [string]$what, $t) {
    if ((kind $p) -eq 'directory') { $i = New-Object -TypeName IO.DirectoryInfo -ArgumentList $p }
    else { $i = New-Object -TypeName IO.FileInfo -ArgumentList $p }
    if ($i.$what -eq $t) { return $false }
    if (-not $a.check) { $i.$what = $t }
    return $true
}

function finish($problem, [string]$said) {
    answer @{ problem = $problem; said = $said; at = $script:at }
    exit 0
}

$invariant = [Globalization.CultureInfo]::InvariantCulture
$times = @()
foreach ($t in $a.times) {
    if ($t.value -eq 'preserve') { continue }
    if ($t.value -eq 'now') { $times += , @($t.what, [DateTime]::Now); continue }
    try { $times += , @($t.what, [DateTime]::ParseExact($t.value, $t.format, $invariant)) }
    catch { $script:at = $t.what; finish 'time' (said $_) }
}
$changed = $false
try {
    $p = full $a.path
    $script:at = $p
    $kind = kind $p
    if ($a.state -eq 'absent') {
        if ($kind -ne 'absent') {
            # Of C: alone, which %SystemDrive% is too, the full path is the current directory there, the login's own.
            if ([Environment]::ExpandEnvironmentVariables($a.path).TrimEnd(' ', '.').EndsWith(':')) { finish 'root' '' }
            if ([IO.Path]::GetPathRoot($p).TrimEnd('\', '/') -eq $p.TrimEnd('\', '/')) { finish 'root' '' }
            if (-not $a.check) { remove $p.TrimEnd('\', '/') }
            $changed = $true
        }
        answer @{ changed = $changed; path = $p }
        exit 0
    }
    if ($a.state -eq 'directory' -and $kind -eq 'file') { finish 'file' '' }
    if ($a.state -eq 'file' -and $kind -ne 'file') { finish $kind '' }
    if ($kind -eq 'absent') {
        $changed = $true
        if (-not $a.check) {
            if ($a.state -eq 'directory') { [void][IO.Directory]::CreateDirectory($p) }
            else { [IO.File]::Open($p, [IO.FileMode]::CreateNew).Dispose() }
        }
    }
    if (-not ($changed -and $a.check)) {
        foreach ($t in $times) { if (settime $p $t[0] $t[1]) { $changed = $true } }
    }
    answer @{ changed = $changed; path = $p }
} catch { finish (why $_) (said $_) }
