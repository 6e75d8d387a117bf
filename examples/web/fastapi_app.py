# fastapi_app.py
"""The terminals' WebSocket in a FastAPI application, on an event loop."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import WebSocketRoute

from sshexec import Inventory, TerminalManager, errors
from sshexec.web.asgi import TerminalASGI

PORT = int(os.environ.get("PORT", "8000"))


def permit(user, action, host):
    """Return whether a user may do something on a host."""
    return user == "anna" and action == "open"


manager = TerminalManager(Inventory.load("hosts.yml"), permit=permit)


@asynccontextmanager
async def life(app):
    """End all sessions with the application."""
    with manager:
        yield


app = FastAPI(lifespan=life)
app.add_middleware(SessionMiddleware, secret_key=os.urandom(32).hex())


@app.post("/login", status_code=204)
def login(request: Request, user: str):
    """Sign in; yours asks for more than a name."""
    request.session["user"] = user


@app.post("/tokens/{host}")
def token(request: Request, host: str):
    """Hand out a token for a session on a host; it is good once, and for half a minute."""
    try:
        return {"token": manager.issue(request.session.get("user", ""), host)}
    except errors.NotAllowedError as error:
        raise HTTPException(403, str(error)) from None


async def who(scope):
    """Return who opened a WebSocket."""
    return scope["session"].get("user")


socket = TerminalASGI(manager, [f"http://127.0.0.1:{PORT}"], authenticate=who)
app.router.routes.append(WebSocketRoute("/terminal", socket))

if __name__ == "__main__":
    uvicorn.run(app, port=PORT, ws_max_size=64 * 1024)
