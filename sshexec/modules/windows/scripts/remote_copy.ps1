# Copies a file or a tree from one place of the host to another.
#
# $a.src, $a.dest, $a.force, $a.backup, $a.check.
# Answers changed, operation, dest, base, checksum, size, backup, diff, and links that are left out, joined by '|';
# or problem (a word), and what it is about: from, to, said.
#INCLUDE _paths
$script:changed = $false
$script:diff = ''
$script:backup = ''
$script:links = @()
$script:from = $a.src
$script:to = $a.dest
[long]$script:size = 0

function finish([string]$problem, [string]$said) {
    answer @{ problem = $problem; said = $said; from = $script:from; to = $script:to }
    exit 0
}

function sum([string]$p) {
    $s = opened $p
    try { return digest $s 'SHA1' } finally { $s.Dispose() }
}

# Makes a directory, and says so.
function make([string]$p) {
    if (-not $a.check) { [void][IO.Directory]::CreateDirectory($p) }
    $script:diff += '+' + $p.TrimEnd('\') + "\`n"
    $script:changed = $true
}

# Copies one file; what was there stays until all of the new one is beside it. Returns the SHA-1, with force.
function copyfile([string]$p, [string]$d) {
    $script:from = $p
    $script:to = $d
    $script:size += (New-Object -TypeName IO.FileInfo -ArgumentList $p).Length
    $h = ''
    if ($a.force) { $h = sum $p }
    $k = kind $d
    if ($k -eq 'directory') { finish 'folder' '' }
    if ($k -eq 'file') {
        if (-not $a.force) { return $h }
        if ((sum $d) -eq $h) { return $h }
    }
    $up = [IO.Path]::GetDirectoryName($d)
    $uk = kind $up
    if ($uk -eq 'file') { finish 'parent_file' '' }
    if ($uk -eq 'absent' -and -not $a.check) { make $up }
    if ($k -eq 'file') {
        if ($a.backup) {
            $now = [DateTime]::Now.ToString('yyyyMMdd-HHmmss', [Globalization.CultureInfo]::InvariantCulture)
            $script:backup = "$d.$PID.$now.bak"
            if (-not $a.check) { [IO.File]::Copy($d, $script:backup) }
        }
        $script:diff += "-$d`n"
    }
    if (-not $a.check) {
        $t = [IO.Path]::Combine($up, '.sshexec-' + [Guid]::NewGuid().ToString('N').Substring(0, 16))
        try {
            [IO.File]::Copy($p, $t)
            if ($k -eq 'file') {
                $i = New-Object -TypeName IO.FileInfo -ArgumentList $d
                if ($i.IsReadOnly) { $i.IsReadOnly = $false }
                [IO.File]::SetAttributes($t, 'Normal')
                # It keeps the access list; a plain $null would arrive as an empty name of a backup.
                try { [IO.File]::Replace($t, $d, [NullString]::Value, $true) } catch {
                    # It may have gone wrong between the two names: then the new file is the only one.
                    if ([IO.File]::Exists($d)) { throw }
                    [IO.File]::Move($t, $d)
                }
            } else { [IO.File]::Move($t, $d) }
        } finally {
            if ([IO.File]::Exists($t)) {
                [IO.File]::SetAttributes($t, 'Normal')
                [IO.File]::Delete($t)
            }
        }
    }
    $script:diff += "+$d`n"
    $script:changed = $true
    return $h
}

function copyfolder([string]$p, [string]$d) {
    $script:from = $p
    $script:to = $d
    $k = kind $d
    if ($k -eq 'file') { finish 'is_file' '' }
    if ($k -eq 'absent') {
        if ((kind ([IO.Path]::GetDirectoryName($d))) -eq 'file') { finish 'parent_file' '' }
        make $d
    }
    copybelow $p $d
}

function copybelow([string]$p, [string]$d) {
    foreach ($i in (New-Object -TypeName IO.DirectoryInfo -ArgumentList $p).GetFileSystemInfos()) {
        $e = [IO.Path]::Combine($d, $i.Name)
        if (-not ($i.Attributes -band [IO.FileAttributes]::Directory)) { [void](copyfile $i.FullName $e) }
        elseif ($i.Attributes -band [IO.FileAttributes]::ReparsePoint) { $script:links += $i.FullName }
        else { copyfolder $i.FullName $e }
    }
}

try {
    $p = full $a.src
    $script:from = $p
    $d = full $a.dest
    $script:to = $d
    $k = kind $p
    if ($k -eq 'absent') { finish 'no_source' '' }
    $inner = $p.EndsWith('\') -or $p.EndsWith('/')
    $p = $p.TrimEnd('\', '/')
    if ($p.EndsWith(':')) { $p += '\' }
    $base = [IO.Path]::GetFileName($p)
    $h = ''
    if ($k -eq 'directory') {
        $operation = 'folder_copy'
        if (-not $inner) { $d = [IO.Path]::Combine($d, $base) }
        $script:to = $d
        # A tree below itself would never end.
        $whole = $p.TrimEnd('\') + '\'
        if (($d.TrimEnd('\') + '\').StartsWith($whole, [StringComparison]::OrdinalIgnoreCase)) { finish 'inside' '' }
        if ($inner) { copybelow $p $d } else { copyfolder $p $d }
    } else {
        $operation = 'file_copy'
        $named = $d.EndsWith('\') -or $d.EndsWith('/') -or (kind $d) -eq 'directory'
        if ($named) { $d = [IO.Path]::Combine($d, $base) }
        $up = [IO.Path]::GetDirectoryName($d)
        $uk = kind $up
        $script:to = $up
        if ($uk -eq 'file') { finish 'up_file' '' }
        if ($uk -eq 'absent') {
            if (-not $named) { finish 'no_parent' '' }
            make $up
        }
        $h = copyfile $p $d
    }
    answer @{
        changed = $script:changed; operation = $operation; dest = $d; base = $base; checksum = $h
        size = $script:size; backup = $script:backup; diff = $script:diff; links = $script:links -join '|'
    }
} catch { finish (why $_) (said $_) }
