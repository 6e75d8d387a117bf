# Runs a script that is too long for a command line. The first line of standard input is the script, UTF-8 in base64;
# what follows is the script's own input. It ends as powershell.exe -EncodedCommand does: with the code of its exit,
# else 1 where its last statement failed. A script of named blocks takes no such statement at its end, and needs none.
begin {
    # No command is called here: the first of a session may have PowerShell print that it prepares its modules.
    $sshexecLines = [Collections.ArrayList]@()
}
process {
    if ($null -ne $_) { $null = $sshexecLines.Add([string]$_) }
}
end {
    # powershell.exe hands standard input only to a script that names this variable, and then reads it itself.
    $null = $input
    $sshexecText = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($sshexecLines[0]))
    $sshexecLines.RemoveAt(0)
    try { $sshexecScript = [ScriptBlock]::Create($sshexecText + "`n`n" + 'if (-not $?) { exit 1 }') }
    catch { $sshexecScript = [ScriptBlock]::Create($sshexecText) }
    if ($sshexecLines.Count) { $sshexecLines | . $sshexecScript } else { . $sshexecScript }
}
