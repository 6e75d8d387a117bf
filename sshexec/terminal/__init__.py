"""Interactive terminals on hosts: sessions, who watches them, their recordings. Blocking, of no web framework."""
