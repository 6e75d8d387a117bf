# flask_app.py
"""The whole web terminal in a Flask application, page and all, behind the application's own sign-in."""

from __future__ import annotations

import os

from flask import Flask, redirect, request, session
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from sshexec import Inventory, TerminalManager
from sshexec.web.application import WebTerminal

PORT = int(os.environ.get("PORT", "5000"))
ROLES = {"anna": {"hosts", "open", "upload", "download"}, "bob": {"hosts", "watch"}}

app = Flask(__name__)
app.config.update(SECRET_KEY=os.urandom(32), SESSION_COOKIE_SAMESITE="Lax")


@app.get("/")
def home():
    """Show a form to sign in by; yours asks for more than a name."""
    return '<form action="/login" method="post"><input name="user" value="anna"><button>Sign in</button></form>'


@app.post("/login")
def login():
    """Sign in, and go to the terminals."""
    session["user"] = request.form["user"]
    return redirect("/terminals/")


def who(environ):
    """Return who sent a request to the terminal."""
    with app.request_context(environ):
        return session.get("user")


def permit(user, action, host):
    """Return whether a user may do something on a host."""
    return action in ROLES.get(user, ())


manager = TerminalManager(Inventory.load("hosts.yml"), permit=permit)
terminal = WebTerminal(manager, authenticate=who, origins=[f"http://127.0.0.1:{PORT}"])
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/terminals": terminal})

if __name__ == "__main__":
    app.run(port=PORT, threaded=True)
