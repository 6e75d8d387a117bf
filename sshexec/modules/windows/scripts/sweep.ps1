# Removes what script.ps1 has left, where it was ended by force. In: token.
$path = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'sshexec-' + $a.token)
foreach ($pause in @(0, 200, 1000)) {
    Start-Sleep -Milliseconds $pause
    if (-not [IO.Directory]::Exists($path)) { break }
    try { [IO.Directory]::Delete($path, $true) } catch { }
}
answer (-not [IO.Directory]::Exists($path))
