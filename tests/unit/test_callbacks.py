"""Which callbacks are taken, and which addresses count as public."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from pipelines.errors import InvalidRequest
from service.callbacks import CallbackRules, is_public
from service.model import CallbackEvent

URL = "https://hooks.example/done"
RULES = CallbackRules(enabled=True)


def faults(given: Any, rules: CallbackRules = RULES) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as refused:
        rules.read(given)
    return [(fault.pointer, fault.detail) for fault in refused.value.faults]


def test_without_events_the_end_is_told_however_it_ends() -> None:
    [found] = RULES.read([{"url": URL}])
    assert found.events == (CallbackEvent.SUCCEEDED, CallbackEvent.FAILED, CallbackEvent.CANCELED)
    assert RULES.read(None) == ()


def test_events_are_kept_once() -> None:
    [found] = RULES.read([{"url": URL, "events": ["job.failed", "job.started", "job.failed"]}])
    assert found.events == (CallbackEvent.STARTED, CallbackEvent.FAILED)


def test_without_a_secret_callbacks_are_refused_by_name_of_the_setting() -> None:
    [(pointer, detail)] = faults([{"url": URL}], CallbackRules())
    assert (pointer, "HAULIER_WEBHOOK_SECRET" in detail) == ("/callbacks", True)


def test_every_fault_is_named_with_its_place() -> None:
    given = [
        {"url": URL, "events": ["job.suceeded"], "event": 1},
        {"url": URL},
        {"events": []},
        "x",
    ]
    found = dict(faults(given))
    assert set(found) == {
        "/callbacks/0/event",
        "/callbacks/0/events/0",
        "/callbacks/1/url",
        "/callbacks/2/url",
        "/callbacks/2/events",
        "/callbacks/3",
    }
    assert "'job.succeeded'?" in found["/callbacks/0/events/0"]


@pytest.mark.parametrize("given", [[], {}, "x", 7, [{"url": URL + str(n)} for n in range(6)]])
def test_callbacks_are_a_short_list(given: Any) -> None:
    [(pointer, detail)] = faults(given)
    assert (pointer, "list of 1 to 5" in detail) == ("/callbacks", True)


@pytest.mark.parametrize(
    "url",
    [
        *(7, "", "x", "ftp://hooks.example/", "file:///etc/passwd", "https:///path", "https://:80/"),
        *("https://me:pw@hooks.example/", "https://hooks.example/#here", "https://hooks.example:0/"),
        *(
            "https://hooks.example:99999/",
            "https://hooks.example/a b",
            "https://hooks.example\\@x/",
            "https://[::1/",
        ),
        *("https://hooks.example/\r\nX: 1", "https://hööks.example/", "https://h.example/" + "x" * 2000),
    ],
)
def test_what_is_no_address_is_refused(url: Any) -> None:
    [(pointer, _)] = faults([{"url": url}], CallbackRules(enabled=True, private=True))
    assert pointer == "/callbacks/0/url"


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.", "a.localhost", "printer.local", "vault.internal", "127.0.0.1", "[::1]"),
        *("10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *(
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::ffff:127.0.0.1]",
            "[::]",
            "[2002:7f00:1::]",
            "[64:ff9b::a00:1]",
        ),
    ],
)
def test_private_addresses_are_refused_unless_allowed(host: str) -> None:
    url = f"http://{host}:8080/hook"
    [(pointer, detail)] = faults([{"url": url}])
    assert (pointer, "HAULIER_WEBHOOK_ALLOW_PRIVATE" in detail) == ("/callbacks/0/url", True)
    assert CallbackRules(enabled=True, private=True).read([{"url": url}])[0].url == url


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
