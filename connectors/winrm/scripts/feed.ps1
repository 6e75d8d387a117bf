# Runs a program that reads what comes by standard input, lines of base64, and ends with its exit code.
begin {
    #PROLOGUE
    #INCLUDE _launch
    $process = launch
    $pipe = $process.StandardInput.BaseStream
}
process {
    if ($null -ne $_) {
        $bytes = [Convert]::FromBase64String([string]$_)
        # One that has ended, or has closed its input, reads no more.
        try {
            $pipe.Write($bytes, 0, $bytes.Length)
            $pipe.Flush()
        } catch { }
    }
}
end {
    # powershell.exe hands standard input only to a script that names this variable.
    $null = $input
    try { $process.StandardInput.Close() } catch { }
    $process.WaitForExit()
    exit $process.ExitCode
}
