# What is at a path, links followed; size and SHA-1 of a file.
#
# $a.path; answers path, kind (file, directory, absent), reason and said where it can't be read, size, sha1.
#INCLUDE _paths
$p = $a.path
$kind = 'absent'
$reason = ''
$said = ''
$size = $null
$sha1 = ''
try {
    $p = full $p
    $kind = kind $p
    if ($kind -eq 'file') {
        $s = opened $p
        try {
            $size = $s.Length
            $sha1 = digest $s 'SHA1'
        } finally { $s.Dispose() }
    }
} catch {
    $reason = why $_
    $said = said $_
    if ($reason -eq 'absent') { $kind = 'absent'; $reason = '' }
}
answer @{ path = $p; kind = $kind; reason = $reason; said = $said; size = $size; sha1 = $sha1 }
