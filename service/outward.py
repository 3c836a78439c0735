"""One POST to an address of somebody else: resolved once, checked, and connected to as checked.

No redirect is followed, no proxy asked, no more than a little of the answer read, and all of it ends after
some seconds whatever the other side does. Standard library only.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from service.callbacks import is_public

_Address = tuple[Any, ...]  # as the socket module has them
_READ = 512  # bytes of an answer, for people


class NotSent(Exception):
    """No answer came; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said; `text` is the beginning of the body."""

    status: int
    text: str


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, seconds: float, private: bool = False
) -> Answer:
    """Send it once; NotSent when there is no whole answer after some seconds.

    `private` allows addresses that are not public.
    """
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    family, address = _checked(host, parts.port or (443 if tls else 80), private)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _Connection(host, family, address, tls, seconds)
    # a receiver that sends a byte now and then is not told by the timeout of a socket
    watch = threading.Timer(seconds, connection.abort)
    watch.daemon = True
    watch.start()
    try:
        connection.request("POST", path, body, {"Host": parts.netloc, **headers})
        response = connection.getresponse()
        return Answer(response.status, _beginning(response))
    except (OSError, http.client.HTTPException, ValueError) as error:
        if connection.aborted:
            raise NotSent(f"There was no whole answer after {seconds:g} s.") from None
        raise NotSent(_in_words(error, host)) from None
    finally:
        watch.cancel()
        connection.close()


def _beginning(response: http.client.HTTPResponse) -> str:
    """What was said beside the status; a body that does not come takes nothing from that."""
    try:
        text = response.read(_READ).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    return "".join(c for c in text if c.isprintable())


def _checked(host: str, port: int, private: bool) -> tuple[int, _Address]:
    """Where a host is; NotSent when any of its addresses is not public: no name may stand for both."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotSent(f"{host} has no address ({error}).") from None
    for _, _, _, _, address in found:
        if not private and not is_public(ipaddress.ip_address(str(address[0]).partition("%")[0])):
            raise NotSent(f"{host} is an address of this machine or a private network; it was refused.")
    family, _, _, _, address = found[0]
    return family, address


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Connection(http.client.HTTPConnection):
    """To an address that has been looked up; the name is only said, in TLS and in the Host header."""

    def __init__(self, host: str, family: int, address: _Address, tls: bool, seconds: float) -> None:
        super().__init__(host, timeout=seconds)
        self.aborted = False
        self._family, self._address, self._tls = family, address, tls
        self._raw: socket.socket | None = None

    def connect(self) -> None:
        self._raw = socket.socket(self._family, socket.SOCK_STREAM)
        self._raw.settimeout(self.timeout)
        self._raw.connect(self._address)
        self.sock = _tls().wrap_socket(self._raw, server_hostname=self.host) if self._tls else self._raw
        self._raw = self.sock

    def abort(self) -> None:
        self.aborted = True
        if self._raw is not None:
            with suppress(OSError):
                self._raw.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        super().close()
        if self._raw is not None:
            self._raw.close()


def _in_words(error: Exception, host: str) -> str:
    match error:
        case TimeoutError():
            return f"{host} did not answer in time."
        case ssl.SSLCertVerificationError():
            return f"The certificate of {host} is not valid."
        case ConnectionRefusedError():
            return f"Nobody listens at {host}."
        case http.client.HTTPException():
            return f"{host} did not answer in HTTP."
    return f"{host} cannot be reached ({type(error).__name__})."
