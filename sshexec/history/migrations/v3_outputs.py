"""Version 3."""
