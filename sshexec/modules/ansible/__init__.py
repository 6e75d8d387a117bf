"""Ansible's own modules, by an ansible-core that is installed beside: built there, run by the host's Python."""
