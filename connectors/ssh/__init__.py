"""SSH over Paramiko."""
