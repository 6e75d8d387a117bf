"""Windows hosts over WinRM, by pywinrm."""
