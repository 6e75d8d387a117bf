"""A WS-Man endpoint of our own, since no Windows is at hand."""
