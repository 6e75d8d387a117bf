"""A fleet of demo hosts on this machine."""
