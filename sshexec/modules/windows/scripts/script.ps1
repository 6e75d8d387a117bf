# Writes a user's script, which comes in lines of base64, into a directory of its own, calls it and removes it again.
# In: token (of the directory's name), name (of the file), size (bytes), before and behind (what stands before and
# behind the file's name, in PowerShell's own language), chdir. Exit status: the script's.
# The script has a PowerShell of its own: below a `try` of ours an error would end it that else only ends a statement
# (PowerShell/PowerShell#15726), and without one nothing would be removed behind an error.
begin {
    #PROLOGUE
    $folder = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'sshexec-' + $a.token)
    $path = [IO.Path]::Combine($folder, $a.name)
    $null = [IO.Directory]::CreateDirectory($folder)
    $file = [IO.File]::Open($path, [IO.FileMode]::CreateNew, [IO.FileAccess]::Write)
    function sweep {
        $file.Dispose()
        try { [IO.Directory]::Delete($folder, $true) } catch { }
    }
}
process {
    if ($_) {
        try {
            $bytes = [Convert]::FromBase64String($_)
            $file.Write($bytes, 0, $bytes.Length)
        }
        catch {
            sweep
            throw
        }
    }
}
end {
    # Only a script that names this variable at its top level gets standard input from powershell.exe.
    $null = $input
    $called = $false
    try {
        $size = $file.Length
        $file.Dispose()
        if ($size -ne $a.size) { throw 'the script did not arrive whole' }
        if ($a.chdir) { Set-Location -LiteralPath $a.chdir }
        # Each of PowerShell's quotation marks ends a text in single ones.
        $quoted = "'" + ($path -replace '[\u0027\u2018-\u201B]', '$0$0') + "'"
        $text = '& ' + $a.before + ' ' + $quoted + ' ' + $a.behind + "`n"
        # What could not be called at all has no exit status; no status is 0.
        $text += 'if ($? -or $LASTEXITCODE) { exit $LASTEXITCODE } else { exit 1 }'
        $data = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text))
        $shell = [IO.Path]::Combine($PSHOME, 'powershell.exe')
        $ErrorActionPreference = 'Continue'
        & $shell -NoProfile -NonInteractive -ExecutionPolicy Unrestricted -EncodedCommand $data
        $called = $true
    }
    finally {
        sweep
    }
    # An error that ends only the statement, such as arguments too long for a command line, comes by here.
    if (-not $called) { exit 1 }
    exit $LASTEXITCODE
}
