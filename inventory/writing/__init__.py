"""Inventories as files that Ansible and sshexec read back: YAML, INI, CSV."""
