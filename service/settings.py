"""What an operator may choose: HAULIER_* variables, read in this one place and checked before a start.

Frozen once read. Nothing is opened, created or connected here; no other module reads the environment.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import nearest

_PREFIX = "HAULIER_"
_SECRETS = ("HAULIER_DATABASE_URL", "HAULIER_WEBHOOK_SECRET")
_DATABASES = ("sqlite", "postgresql", "postgresql+psycopg")


class SettingsError(Exception):
    """A setting is wrong. The text is one line that names the variable, the value and the fix."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, with defaults filled in. Field `x` is read from HAULIER_X.

    `lease_seconds`: how long a dispatcher may be silent before another takes its jobs. `job_seconds`: the
    longest a run may take. `stall_seconds`: the longest it may show no progress while workers have it.
    `keep_days`, `keep_bytes`: how long results stay, and how much of them and of kept partials there may be.
    `ffmpeg`: the program for video; None: that of PATH, else that of the wheel.
    `keep_version_days`: how long a version of a dataset can be read after another has taken over.
    `webhook_secret`: what messages are signed with, `whsec_<base64>`; None: none are sent.
    `webhook_allow_private`: messages may go to loopback and private addresses.
    """

    home: Path
    database_url: str
    scheduler: str | None
    store_url: str
    host: str = "127.0.0.1"
    port: int = 8480
    workers: int = 1
    base_url: str | None = None
    auth: str = "off"
    input_folders: tuple[Path, ...] = ()
    lease_seconds: float = 30.0
    job_seconds: float = 6 * 3600.0
    stall_seconds: float = 600.0
    keep_days: float = 7.0
    keep_bytes: int = 50 << 30
    ffmpeg: str | None = None
    keep_version_days: float = 30.0
    webhook_secret: str | None = field(default=None, repr=False)
    webhook_allow_private: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **overrides: Any) -> Settings:
        """Read the environment; overrides that are not None win. Raises SettingsError with every fault."""
        given = {name: value for name, value in environ.items() if name.startswith(_PREFIX) and value.strip()}
        known = {_PREFIX + each.name.upper() for each in fields(cls)}
        faults = [
            f"{name} is not a setting{nearest(name, known)}" for name in sorted(given) if name not in known
        ]
        raw: dict[str, tuple[str, str]] = {
            name.removeprefix(_PREFIX).lower(): (name, value)
            for name, value in given.items()
            if name in known
        }
        for name, value in overrides.items():
            if name not in _READERS:
                raise SettingsError(f"{name!r} is not a setting{nearest(name, _READERS)}")
            if value is not None:
                raw[name] = (name, _as_text(value))
        values: dict[str, Any] = {}
        for member, (name, text) in raw.items():
            try:
                values[member] = _READERS[member](text.strip())
            except ValueError as error:
                # a password must not reach a log
                secret = member == "webhook_secret"
                shown = "***" if secret else re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)
                faults.append(f"{name}={shown!r}: {error}")
        if faults:
            raise SettingsError("; ".join(faults))
        return cls._filled(values, environ)

    @classmethod
    def _filled(cls, values: dict[str, Any], environ: Mapping[str, str]) -> Settings:
        home: Path = values.pop("home", None) or default_home(environ)
        values.setdefault("database_url", f"sqlite:///{home / 'haulier.sqlite'}")
        values.setdefault("store_url", str(home / "store"))
        values.setdefault("scheduler", None)
        values.setdefault("workers", os.cpu_count() or 1)
        values.setdefault("input_folders", (home / "input",))
        return cls(home=home, **values)

    def with_port(self, port: int) -> Settings:
        return replace(self, port=port)

    def to_env(self) -> dict[str, str]:
        """The HAULIER_* variables that `from_env` reads back as these settings."""
        return {
            _PREFIX + each.name.upper(): _as_text(getattr(self, each.name))
            for each in fields(self)
            if getattr(self, each.name) is not None
        }


def current(**overrides: Any) -> Settings:
    """The settings of this process."""
    return Settings.from_env(os.environ, **overrides)


def hand_down(settings: Settings) -> None:
    """Make these the settings of every process started from here: how a flag reaches the web worker."""
    os.environ.update(settings.to_env())


def environment(settings: Settings) -> dict[str, str]:
    """What to start a process with that runs under these settings and no others of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
    return {**kept, **settings.to_env()}


def without_secrets() -> dict[str, str]:
    """The environment but for what opens the job database or signs messages: for where code of jobs runs."""
    return {name: value for name, value in os.environ.items() if name not in _SECRETS}


def default_home(environ: Mapping[str, str]) -> Path:
    """`data/var` in a checkout, else the folder this system keeps a user's data in."""
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file() and (root / "data").is_dir():
        return root / "data" / "var"
    if sys.platform == "win32":
        base = environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Application Support")
    else:
        base = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "haulier"


def is_loopback(host: str) -> bool:
    """Whether a host name or address (IPv6 in brackets or without) can only be this machine."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _as_text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return os.pathsep.join(str(each) for each in value)
    return str(value)


def _folder(text: str) -> Path:
    if "\0" in text:
        raise ValueError("not a folder name; give a path")
    return Path(text).expanduser().absolute()


def _folders(text: str) -> tuple[Path, ...]:
    parts = [part for part in text.split(os.pathsep) if part.strip()]
    relative = [part for part in parts if not Path(part).expanduser().is_absolute()]
    if relative:
        raise ValueError(
            f"{relative[0]!r} is a relative path; give absolute folders separated by {os.pathsep!r}"
        )
    return tuple(Path(part).expanduser() for part in parts)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"give a whole number from {low} to {high}")
        return int(text)

    return read


def _number(low: float, high: float, unit: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text, re.ASCII) or not low <= float(text) <= high:
            raise ValueError(f"give {unit} as a number from {low:g} to {high:g}")
        return float(text)

    return read


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15})\s*([KMGT]i?B?|B)?", text, re.ASCII | re.IGNORECASE)
    if not found:
        raise ValueError("give a number of bytes, such as 500000000, 500MB or 20GiB")
    unit = (found[2] or "B").upper()
    step: int = 1024 if "I" in unit else 1000
    return int(found[1]) * int(step ** "BKMGT".index(unit[0]))


def _database(text: str) -> str:
    scheme = text.partition("://")[0]
    if "://" not in text or scheme not in _DATABASES:
        fix = nearest(scheme, _DATABASES) if "://" in text else ""
        raise ValueError(f"not a database URL; give sqlite:///PATH or postgresql://USER@HOST/NAME{fix}")
    return text


def _scheduler(text: str) -> str:
    if not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://(\[[0-9a-fA-F:]+\]|[^\s/:\[\]]+):\d{1,5}", text):
        raise ValueError("not the address of a dask scheduler; give tcp://HOST:PORT")
    return text


def _store(text: str) -> str:
    if "://" not in text:
        return str(_folder(text))
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://\S+", text):
        raise ValueError("not a store; give a folder or a URL such as s3://BUCKET/PREFIX")
    return text


def _host(text: str) -> str:
    if not is_loopback(text):
        raise ValueError(
            "only this machine may be served without authentication (HAULIER_AUTH=keys is not built yet); "
            "give 127.0.0.1 and put a proxy that asks who comes in front"
        )
    return text.strip("[]")


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("give what clients see as http(s)://HOST[:PORT], without a path")
    return f"{parts.scheme}://{parts.netloc}"


def _auth(text: str) -> str:
    if text != "off":
        raise ValueError("not built yet" if text == "keys" else "give off (keys will follow)")
    return text


def _secrets(text: str) -> str:
    for each in text.split():
        try:
            size = len(b64decode(each.removeprefix("whsec_"), validate=True))
        except ValueError:
            size = 0
        if not each.startswith("whsec_") or not 24 <= size <= 64:
            raise ValueError(
                "give whsec_ and the base64 of 24 to 64 random bytes (openssl rand -base64 32); while you "
                "change it, the new one and the old one with a space between"
            )
    return text


def _yes(text: str) -> bool:
    if text.lower() not in ("yes", "no", "true", "false"):
        raise ValueError("give yes or no")
    return text.lower() in ("yes", "true")


def _program(text: str) -> str:
    if "\0" in text or not text.isprintable():
        raise ValueError("not a program; give its name on PATH, or its path")
    return text


_READERS: dict[str, Callable[[str], Any]] = {
    "home": _folder,
    "database_url": _database,
    "scheduler": _scheduler,
    "store_url": _store,
    "host": _host,
    "port": _whole(0, 65535),
    "workers": _whole(1, 1024),
    "base_url": _base_url,
    "auth": _auth,
    "input_folders": _folders,
    "lease_seconds": _number(1, 3600, "seconds"),
    "job_seconds": _number(1, 30 * 86_400, "seconds"),
    "stall_seconds": _number(1, 30 * 86_400, "seconds"),
    "keep_days": _number(0.0001, 36_500, "days"),
    "keep_bytes": _bytes,
    "ffmpeg": _program,
    "keep_version_days": _number(0.0001, 36_500, "days"),
    "webhook_secret": _secrets,
    "webhook_allow_private": _yes,
}
