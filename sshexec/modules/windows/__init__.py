"""The modules of ansible.windows, and those of Ansible that work on Windows too."""
