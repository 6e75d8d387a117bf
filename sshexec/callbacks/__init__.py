"""Callback objects in Ansible's shape: what they are handed, and who calls them."""
