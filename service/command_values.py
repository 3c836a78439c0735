"""What the client commands read and print: NAME=VALUE arguments, JSON, tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click


def pairs(given: Iterable[str]) -> dict[str, Any]:
    """NAME=VALUE arguments as parameters."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{each!r} is no parameter; write NAME=VALUE, such as year=2023.")
        if name in found:
            raise click.UsageError(f'{name!r} is given twice; a list is written {name}=\'["a", "b"]\'.')
        found[name] = value(text)
    return found


def value(text: str) -> Any:
    """JSON where it is JSON, else the text itself; `@FILE` stands for what the file holds."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"{text[1:]!r} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise click.UsageError(f"{text[1:]!r} cannot be read: it is not UTF-8 text.") from error
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        if text.lstrip()[:1] in ("{", "["):
            raise click.UsageError(f"{text[:60]!r} begins like JSON and is none; check its quotes.") from None
        return text


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
