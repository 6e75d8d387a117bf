# django_app.py
"""The terminals' WebSocket beside a Django application, whose own views hand out the tokens."""

from __future__ import annotations

import os

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from sshexec import Inventory, TerminalManager, errors
from sshexec.web.endpoint import TerminalSocket

PORT = int(os.environ.get("PORT", "8000"))

if not settings.configured:
    settings.configure(
        SECRET_KEY=os.urandom(32).hex(),
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["127.0.0.1"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    )


def permit(user, action, host):
    """Return whether a user may do something on a host."""
    return user == "anna" and action == "open"


manager = TerminalManager(Inventory.load("hosts.yml"), permit=permit)


@require_POST
def login(request):
    """Sign in; with django.contrib.auth you have this already."""
    request.session["user"] = request.POST["user"]
    return HttpResponse(status=204)


@require_POST
def token(request, host):
    """Hand out a token for a session on a host; it is good once, and for half a minute."""
    try:
        return JsonResponse({"token": manager.issue(request.session.get("user", ""), host)})
    except errors.NotAllowedError as error:
        return JsonResponse({"error": str(error)}, status=403)


def who(environ):
    """Return who opened a WebSocket; with django.contrib.auth, `get_user(request)` knows."""
    request = WSGIRequest(environ)
    SessionMiddleware(lambda request: HttpResponse()).process_request(request)
    return request.session.get("user")


urlpatterns = [path("login", login), path("tokens/<host>", token)]
socket = TerminalSocket(manager, [f"http://127.0.0.1:{PORT}"], authenticate=who)
application = DispatcherMiddleware(get_wsgi_application(), {"/terminal": socket})

if __name__ == "__main__":  # python -m gevent.monkey django_app.py
    from gevent.pywsgi import WSGIServer

    WSGIServer(("127.0.0.1", PORT), application).serve_forever()
