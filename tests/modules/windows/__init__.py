"""Modules on Windows hosts, against the endpoint of tests/winrm_server."""
