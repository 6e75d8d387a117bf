# Removes what an upload that was broken off has left; whoever held it open may need a moment to be gone.
#PROLOGUE
$base = [Environment]::GetFolderPath('UserProfile')
$path = [IO.Path]::GetFullPath([IO.Path]::Combine($base, $a.path))
$temporary = [IO.Path]::Combine([IO.Path]::GetDirectoryName($path), $a.temporary)
for ($i = 0; $i -lt 30; $i++) {
    try {
        [IO.File]::Delete($temporary)
        break
    } catch {
        Start-Sleep -Milliseconds 100
    }
}
