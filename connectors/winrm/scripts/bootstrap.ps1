# Runs a script that is too long for a command line. The first line of standard input is the script, UTF-8 in base64;
# what follows is the script's own input. It ends as powershell.exe -EncodedCommand does: with the code of its exit,
# else 1 where its last statement failed. A script of named blocks takes no such statement at its end, and needs none.
# The variable that stands for the input must not be named here: PowerShell would read standard input to its end first.
$sshexecText = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String([Console]::In.ReadLine()))
try { $sshexecScript = [ScriptBlock]::Create($sshexecText + "`n`n" + 'if (-not $?) { exit 1 }') }
catch { $sshexecScript = [ScriptBlock]::Create($sshexecText) }
if ($sshexecText -match '\$\{?inpu[t]\b') {
    & { while ($null -ne ($sshexecLine = [Console]::In.ReadLine())) { $sshexecLine } } | . $sshexecScript
} else {
    . $sshexecScript
}
