# Everything about a path, by the names that ansible.windows.win_stat has for it.
#
# $a.path, $a.follow, $a.checksum (name of a .NET class without its ending; '' for none), $a.size.
# Answers stat (exists alone where nothing is there), warnings; or reason and said, and what failed: path or checksum.
#INCLUDE _paths
$warnings = @()

function seconds([DateTime]$t) {
    return ($t - (New-Object -TypeName DateTime -ArgumentList 1970, 1, 1)).TotalSeconds
}

# Bytes of all files below a directory; what a link points to is not below.
function below($folder) {
    [long]$n = 0
    foreach ($i in $folder.EnumerateFileSystemInfos()) {
        if (-not ($i.Attributes -band [IO.FileAttributes]::Directory)) { $n += $i.Length }
        elseif (-not ($i.Attributes -band [IO.FileAttributes]::ReparsePoint)) { $n += below $i }
    }
    return $n
}

function owner($i) {
    try {
        $o = $i.GetAccessControl([Security.AccessControl.AccessControlSections]::Owner)
        try { return $o.GetOwner([Security.Principal.NTAccount]).Value }
        catch { return $o.GetOwner([Security.Principal.SecurityIdentifier]).Value }
    } catch { return $null }
}

# Where a link leads, absolute.
function source($i, [string]$target) {
    if ($target.StartsWith('UNC\')) { $target = '\' + $target.Substring(3) }
    try { return [IO.Path]::GetFullPath([IO.Path]::Combine([IO.Path]::GetDirectoryName($i.FullName), $target)) }
    catch { return $target }
}

$failed = 'path'
try {
    $p = full $a.path
    $steps = 0
    while ($true) {
        $kind = kind $p
        if ($kind -eq 'absent') { break }
        if ($kind -eq 'directory') { $i = New-Object -TypeName IO.DirectoryInfo -ArgumentList $p }
        else { $i = New-Object -TypeName IO.FileInfo -ArgumentList $p }
        $link = ''
        $targets = @()
        # These two properties are there since PowerShell 5, which tells of hard links by them too.
        $e = Get-Item -LiteralPath $p -Force -ErrorAction SilentlyContinue
        if ($e -and $e.PSObject.Properties['LinkType']) {
            if ($e.LinkType) { $link = [string]$e.LinkType }
            if ($link) { $targets = @($e.Target | Where-Object { $_ }) }
        } elseif ($i.Attributes -band [IO.FileAttributes]::ReparsePoint) {
            $warnings += 'Failed to check/get link info for file: that takes PowerShell 5'
        }
        $soft = $link -eq 'SymbolicLink' -or $link -eq 'Junction'
        if (-not ($a.follow -and $soft -and $targets)) { break }
        # As many links Windows itself follows.
        $steps += 1
        if ($steps -gt 63) { throw (New-Object -TypeName IO.IOException -ArgumentList 'the links lead in a circle') }
        $p = source $i $targets[0]
    }
    if ($kind -eq 'absent') {
        answer @{ stat = @{ exists = $false }; warnings = $warnings }
        exit 0
    }
    $is = $i.Attributes
    $stat = @{
        exists = $true
        attributes = $is.ToString()
        creationtime = seconds $i.CreationTimeUtc
        filename = $i.Name
        hlnk_targets = ''
        isarchive = [bool]($is -band [IO.FileAttributes]::Archive)
        isdir = $kind -eq 'directory'
        ishidden = [bool]($is -band [IO.FileAttributes]::Hidden)
        isjunction = $link -eq 'Junction'
        islnk = $link -eq 'SymbolicLink'
        isreadonly = [bool]($is -band [IO.FileAttributes]::ReadOnly)
        isreg = $kind -eq 'file' -and -not $soft
        isshared = $false
        lastaccesstime = seconds $i.LastAccessTimeUtc
        lastwritetime = seconds $i.LastWriteTimeUtc
        nlink = 1
        owner = owner $i
        path = $i.FullName
    }
    if ($soft -and $targets) {
        $stat.lnk_target = [string]$targets[0]
        $stat.lnk_source = source $i $targets[0]
    }
    if ($link -eq 'HardLink') {
        $others = @($targets | Where-Object { $_ -ne $i.FullName })
        $stat.lnk_type = 'hard'
        $stat.nlink = $others.Count + 1
        $stat.hlnk_targets = $others -join '|'
    }
    if ($kind -eq 'directory') {
        try {
            $q = $i.FullName.Replace('\', '\\').Replace("'", "\'")
            $share = @(Get-CimInstance -ClassName Win32_Share -Filter "Path='$q'")
            if ($share) {
                $stat.isshared = $true
                $stat.sharename = [string]$share[0].Name
            }
        } catch { $warnings += "Failed to look for shares: $(said $_)" }
        if ($a.size) {
            try { $stat.size = below $i } catch { $stat.size = 0 }
        }
    } else {
        $stat.extension = $i.Extension
        if ($a.size) { $stat.size = $i.Length }
        if ($a.checksum) {
            $failed = 'checksum'
            $s = opened $p
            try { $stat.checksum = digest $s $a.checksum } finally { $s.Dispose() }
        }
    }
    answer @{ stat = $stat; warnings = $warnings }
} catch {
    answer @{ failed = $failed; reason = why $_; said = said $_; warnings = $warnings }
}
