# A file's content: lines of base64, then the answer.
#
# $a.path, $a.limit (bytes); answers path, kind (file, directory, absent, large), reason, said, size (bytes written).
#INCLUDE _paths
$p = $a.path
$kind = 'absent'
$reason = ''
$said = ''
[long]$size = 0
try {
    $p = full $p
    $kind = kind $p
    if ($kind -eq 'file') {
        $s = opened $p
        # The console's own writer cuts long lines into very many writes.
        $out = [Console]::OpenStandardOutput()
        try {
            $b = New-Object -TypeName 'Byte[]' -ArgumentList 49152
            while ($size -le $a.limit -and ($n = $s.Read($b, 0, $b.Length)) -gt 0) {
                $line = [Text.Encoding]::ASCII.GetBytes([Convert]::ToBase64String($b, 0, $n) + "`n")
                $out.Write($line, 0, $line.Length)
                $size += $n
            }
            $out.Flush()
            if ($size -gt $a.limit) { $kind = 'large' }
        } finally { $s.Dispose() }
    }
} catch {
    $reason = why $_
    $said = said $_
    if ($reason -eq 'absent') { $kind = 'absent'; $reason = '' }
}
answer @{ path = $p; kind = $kind; reason = $reason; said = $said; size = $size }
