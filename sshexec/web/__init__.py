"""The web terminal: a WSGI application, its WebSocket, and the page (``pip install 'sshexec[web]'``)."""
