# Tells whether the paths of `creates` and `removes` exist, and where `chdir` leads.
# In: chdir, creates, removes, as far as they are given. Out: of each its path in full and whether it exists; or the
# error, and the path that it is about.

function expand($path) {
    if ($path.StartsWith('\\?\')) { return $path }
    return [Environment]::ExpandEnvironmentVariables($path)
}

# Get-Item and Test-Path do not see files that are locked, such as C:\pagefile.sys; their attributes can be had.
function there($path) {
    if ($path.Contains('*') -or $path.Contains('?')) { return [bool](Test-Path -Path $path) }
    try {
        $null = [IO.File]::GetAttributes($path)
        return $true
    }
    catch [IO.FileNotFoundException] { return $false }
    catch [IO.DirectoryNotFoundException] { return $false }
    catch [NotSupportedException] {
        # A path of another provider, such as HKLM:\SOFTWARE.
        return [bool](Test-Path -LiteralPath $path)
    }
}

$told = @{}
$path = ''
try {
    foreach ($name in @('creates', 'removes')) {
        if ($a.$name) {
            $path = expand $a.$name
            $told[$name] = @{ path = $path; exists = (there $path) }
        }
    }
    if ($a.chdir) {
        $path = expand $a.chdir
        $path = [IO.Path]::GetFullPath($path)
        $told['chdir'] = @{ path = $path; exists = [IO.Directory]::Exists($path) }
    }
}
catch {
    $told['error'] = $_.Exception.GetBaseException().Message
    $told['path'] = $path
}
answer $told
