"""The Ansible-compatible modules: they speak to a connector and to nothing else, and need no Python on the host."""
