# What is where files are to go; makes directories and keeps a file that is replaced.
#
# $a.dest; $a.folders (below it, '' itself, each behind what holds it); $a.names, .sizes, .sums (SHA-1) of files.
# $a.tree: dest is a directory; else it may be the one file's place, or the directory of $a.base ('' for none).
# $a.make: change something; $a.compare: look at contents; $a.backup: keep a file that is replaced, where it is the one.
# Answers path (full), within (a file in an existing or named directory), folders and files: a word for each, joined by
# blanks (file, directory, absent, same, differs), parent (kind, of one file), backup; or reason, said and at.
#INCLUDE _paths
$at = $a.dest

function look([string]$p, $size, [string]$sum) {
    $k = kind $p
    if ($k -ne 'file' -or -not $a.compare) { return $k }
    try { $s = opened $p } catch {
        # What can't be read is for the transfer to find out; a link may lead nowhere.
        if ((why $_) -eq 'absent') { return 'absent' }
        return 'differs'
    }
    try {
        if ($s.Length -eq $size -and (digest $s 'SHA1') -eq $sum) { return 'same' }
        return 'differs'
    } finally { $s.Dispose() }
}

# A copy beside the file, named as Ansible names it.
function keep([string]$p) {
    $now = [DateTime]::Now.ToString('yyyyMMdd-HHmmss', [Globalization.CultureInfo]::InvariantCulture)
    $b = "$p.$PID.$now.bak"
    [IO.File]::Copy($p, $b)
    return $b
}

try {
    $d = full $a.dest
    $at = $d
    $within = $false
    $parent = ''
    $backup = ''
    $places = @()
    $folders = @()
    if (-not $a.tree) {
        $named = $d.EndsWith('\') -or $d.EndsWith('/')
        $within = [bool]$a.base -and ($named -or (kind $d) -eq 'directory')
        if ($within) { $d = [IO.Path]::Combine($d, $a.base) }
        $at = $d
        $up = [IO.Path]::GetDirectoryName($d)
        $parent = 'directory'
        if ($up) { $parent = kind $up }
        $places = @($d)
    } else {
        foreach ($n in $a.names) { $places += [IO.Path]::Combine($d, $n) }
        foreach ($n in $a.folders) { $folders += [IO.Path]::Combine($d, $n) }
    }
    $there = @(foreach ($p in $folders) { $at = $p; kind $p })
    $files = @(for ($i = 0; $i -lt $places.Count; $i++) {
        $at = $places[$i]
        look $at $a.sizes[$i] $a.sums[$i]
    })
    $clear = -not ($there -contains 'file' -or $files -contains 'directory' -or $parent -eq 'file')
    if ($a.make -and $clear) {
        if ($within -and $parent -eq 'absent') {
            $at = $up
            [void][IO.Directory]::CreateDirectory($up)
            $parent = 'directory'
        }
        foreach ($p in $folders) { $at = $p; [void][IO.Directory]::CreateDirectory($p) }
        $send = @(for ($i = 0; $i -lt $files.Count; $i++) { if ('absent', 'differs' -contains $files[$i]) { $i } })
        if ($a.backup -and $send.Count -eq 1 -and $files[$send[0]] -eq 'differs' -and $there -notcontains 'absent') {
            $at = $places[$send[0]]
            $backup = keep $at
        }
    }
    answer @{
        path = $d; within = $within; parent = $parent; backup = $backup
        folders = $there -join ' '; files = $files -join ' '
    }
} catch { answer @{ reason = why $_; said = said $_; at = $at } }
