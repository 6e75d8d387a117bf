# Runs a program that is given nothing to read, and ends with its exit code.
#PROLOGUE
#INCLUDE _launch
$process = launch
# One that reads finds the end at once, whatever the service has made of the command's own standard input.
try { $process.StandardInput.Close() } catch { }
$process.WaitForExit()
exit $process.ExitCode
