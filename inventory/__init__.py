"""Which hosts there are, and their variables."""
