"""Secrets at rest: keys, ciphers, ansible-vault, and who else provides them."""
