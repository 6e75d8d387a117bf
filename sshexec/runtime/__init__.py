"""How tasks run on many hosts at once: gevent pool, worker processes."""
