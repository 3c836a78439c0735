"""Which requests are let in, and the headers every answer carries.

Without authentication the service is for this machine alone, and a browser on this machine also runs other
people's pages: a foreign Host (DNS rebinding) is never served, a foreign Origin never changes anything.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request

from service.errors import Refused
from service.routes.site import site
from service.settings import is_loopback

_SAFE = ("GET", "HEAD", "OPTIONS")
_PAGE = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_BARE = "default-src 'none'; frame-ancestors 'none'; sandbox"


def install(app: Flask) -> None:
    app.before_request(_check_host)
    app.before_request(_check_origin)
    app.after_request(_add_headers)


def _check_host() -> None:
    given = request.headers.get("Host", "")
    try:
        host = urlsplit(f"//{given}").hostname
        bad = not host or any(c in given for c in "/@?#\\ ") or urlsplit(f"//{given}").port == 0
    except ValueError:
        bad, host = True, None
    if bad or host is None:
        raise Refused("bad-host", f"The Host header {given!r} is not a host; send the one you connect to.")
    own = urlsplit(site().base_url).hostname if site().base_url else None
    if not is_loopback(host) and host != own:
        raise Refused(
            "misdirected",
            f"This service does not serve {host!r}; set HAULIER_BASE_URL to the address that clients use.",
        )


def _check_origin() -> None:
    origin = request.headers.get("Origin")
    if origin is None or request.method in _SAFE:
        return
    if origin not in (site().base_url, request.host_url.rstrip("/")):
        raise Refused("foreign-origin", f"A page of {origin!r} may not change anything here.")


def _add_headers(response: Response) -> Response:
    page = response.mimetype == "text/html" and "Content-Disposition" not in response.headers
    response.headers.setdefault("Content-Security-Policy", _PAGE if page else _BARE)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cache-Control", "private, no-cache")
    return response
