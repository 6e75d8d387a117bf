# Starts the program of $a without a shell. What it prints goes where this script's own output goes: into the pipes of
# the command, byte by byte. What it reads is a pipe of this script's. It is looked for as CreateProcess does, PATH among
# it.
function launch {
    # Else the first thing that the program reads would be a byte order mark.
    try { [Console]::InputEncoding = New-Object Text.UTF8Encoding $false } catch { }
    $info = New-Object Diagnostics.ProcessStartInfo
    $info.FileName = $a.program
    $info.Arguments = $a.arguments
    $info.UseShellExecute = $false
    $info.RedirectStandardInput = $true
    try {
        [Diagnostics.Process]::Start($info)
    } catch {
        $problem = $_.Exception.GetBaseException()
        answer @{ token = $a.token; code = $problem.NativeErrorCode; message = $problem.Message }
        exit 1
    }
}
