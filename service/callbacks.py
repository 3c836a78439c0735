"""What a submission may ask for in `callbacks`, and which addresses messages may go to.

Pure rules: nothing is resolved or connected here. What a name stands for is checked when a message is sent.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import Fault, InvalidRequest, nearest
from service.model import Callback, CallbackEvent

_MOST = 5
_LENGTH = 2000
_ENDS = (CallbackEvent.SUCCEEDED, CallbackEvent.FAILED, CallbackEvent.CANCELED)
_MEMBERS = ("url", "events")
_PRIVATE = (
    "is an address of this machine or a private network; give a public one, or have the operator set "
    "HAULIER_WEBHOOK_ALLOW_PRIVATE=yes."
)


@dataclass(frozen=True, slots=True)
class CallbackRules:
    """`enabled`: there is a secret to sign with. `private`: private and loopback addresses are allowed."""

    enabled: bool = False
    private: bool = False

    def read(self, given: Any) -> tuple[Callback, ...]:
        """The callbacks of a submission; None stands for none. InvalidRequest with every fault."""
        if given is None:
            return ()
        if not self.enabled:
            said = "This service sends no webhooks; have the operator set HAULIER_WEBHOOK_SECRET."
            raise InvalidRequest([Fault("/callbacks", said)])
        if not isinstance(given, list) or not 1 <= len(given) <= _MOST:
            said = f"'callbacks' must be a list of 1 to {_MOST} objects with url and perhaps events."
            raise InvalidRequest([Fault("/callbacks", said)])
        faults: list[Fault] = []
        found = [self._one(each, f"/callbacks/{number}", faults) for number, each in enumerate(given)]
        urls = [each.url for each in found]
        faults += [
            Fault(f"/callbacks/{number}/url", f"{url!r} is there twice; name it once, with all its events.")
            for number, url in enumerate(urls)
            if url and url in urls[:number]
        ]
        if faults:
            raise InvalidRequest(faults)
        return tuple(found)

    def _one(self, given: Any, where: str, faults: list[Fault]) -> Callback:
        if not isinstance(given, dict):
            faults.append(Fault(where, f"{given!r} is no callback; give an object with url and events."))
            return Callback("", ())
        faults += [
            Fault(f"{where}/{name}", f"{name!r} is not a member here{nearest(name, _MEMBERS)}")
            for name in given
            if name not in _MEMBERS
        ]
        url = given.get("url")
        said = "'url' is missing; add it." if "url" not in given else self._fault_of(url)
        if said is not None:
            faults.append(Fault(f"{where}/url", said))
        return Callback(str(url) if said is None else "", _events(given.get("events"), where, faults))

    def _fault_of(self, url: Any) -> str | None:
        if not isinstance(url, str) or len(url) > _LENGTH or not url.isascii() or not url.isprintable():
            return f"'url' must be text of at most {_LENGTH} printable ASCII characters."
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, 0
        if parts_are_wrong(url) or not host or port == 0:
            return (
                f"{url!r} is not an address to send to; give http(s)://HOST[:PORT]/PATH without a password."
            )
        if not self.private and is_inside(host):
            return f"{url!r} {_PRIVATE}"
        return None


def parts_are_wrong(url: str) -> bool:
    """Whether a URL is no http(s) one, or holds a user, a fragment or characters that belong in none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or parts.fragment:
        return True
    return any(c in url for c in ' "<>\\^`{|}')


def is_inside(host: str) -> bool:
    """Whether a host is written as an address that is not public, or as a name that only ever means one."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not is_public(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        return False


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """False for loopback, private, link-local and reserved addresses, also wrapped in IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 behind a translator of IPv6


def _events(given: Any, where: str, faults: list[Fault]) -> tuple[CallbackEvent, ...]:
    if given is None:
        return _ENDS
    known = [event.value for event in CallbackEvent]
    if not isinstance(given, list) or not given:
        faults.append(Fault(f"{where}/events", f"'events' must be a list of some of {', '.join(known)}."))
        return ()
    for number, each in enumerate(given):
        if each not in known:
            hint = nearest(str(each), known)
            faults.append(Fault(f"{where}/events/{number}", f"{each!r} is no event{hint}"))
    return tuple(event for event in CallbackEvent if event.value in given)
