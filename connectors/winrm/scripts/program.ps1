# Runs a program that is given nothing to read, and ends with its exit code.
#PROLOGUE
#INCLUDE _launch
$process = launch
$process.WaitForExit()
exit $process.ExitCode
