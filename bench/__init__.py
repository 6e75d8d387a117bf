"""Side-by-side measurements of sshexec and its peers: ``python -m bench`` from the root of the repository."""
