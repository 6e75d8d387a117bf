"""Databases by their URL: connections, and schemas that move forward and back."""
