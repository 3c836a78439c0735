"""Import options as the wire has them: checked whole, every fault with its JSON pointer.

The one pydantic edge of imports. What a format can do with an option is checked here too, so that nothing
wrong gets past the 202. What is *in* the file is not known here.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipelines.errors import Fault, nearest
from pipelines.imports.strptime import time_format

READ = ("csv", "tsv", "json", "jsonl", "xlsx", "xls", "parquet")
MAX_BAD_SHARE = 0.10
_PACKED = ("zip", "gz", "bz2", "zst")
_ALIASES = {
    "integer": "integer int int8 int16 int32 int64 bigint smallint long",
    "float": "float double number real float32 float64",
    "decimal": "decimal numeric money",
    "text": "text string str varchar char",
    "timestamp": "timestamp datetime timestamp_ntz",
    "timestamptz": "timestamptz timestamp_tz datetimetz",
    "date": "date",
    "boolean": "boolean bool",
}
TYPES = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}
_DECIMAL = re.compile(r"(?:decimal|numeric)\((\d+)(?:,(\d+))?\)")
_CODECS = re.compile(
    r"ascii|utf-8|utf-8-sig|utf-16(-[bl]e)?|utf-32(-[bl]e)?|iso8859-\d+|cp125\d|cp(437|737|775|85\d|86\d|866|874|932|949|950)"
    r"|koi8-[rut]|mac-[a-z]+|tis-620|shift_jis|gbk|gb18030|gb2312|big5|euc_jp|euc_kr"
)


def logical_type(text: str) -> str:
    """The type name behind an alias; "decimal" alone leaves (p,s) to the data. ValueError for none."""
    plain = re.sub(r"\s+", "", text).lower()
    if plain in TYPES:
        return TYPES[plain]
    found = _DECIMAL.fullmatch(plain)
    if found is None:
        raise ValueError(f"{text!r} is not a column type{nearest(plain, TYPES)}")
    precision, scale = int(found[1]), int(found[2] or 0)
    if not 1 <= precision <= 38 or scale > precision:
        raise ValueError(f"{text!r} is out of range; use decimal(p,s) with p from 1 to 38 and s at most p")
    return f"decimal({precision},{scale})"


def codec_name(text: str) -> str:
    """Python's name of an encoding that text files come in; ValueError for any other."""
    try:
        name = codecs.lookup(text).name
    except (LookupError, ValueError):
        raise ValueError(
            f"{text!r} is not a known encoding; use for example 'utf-8', 'cp1252' or 'latin-1'"
        ) from None
    if not _CODECS.fullmatch(name):
        raise ValueError(
            f"{text!r} is not read; save the file as UTF-8, or name an encoding such as 'cp1252'"
        )
    return name.removesuffix("-sig")


class ColumnOption(BaseModel):
    """What is wanted of one source column."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = Field(None, min_length=1, max_length=255)
    type: str | None = None
    format: str | None = None

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str | None) -> str | None:
        return None if value is None else logical_type(value)

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                time_format(value)
            except ValueError as error:
                raise ValueError(f"{value!r} {error}") from None
        return value

    @model_validator(mode="after")
    def _format_fits(self) -> ColumnOption:
        if self.format is None:
            return self
        form = time_format(self.format)
        if self.type is None:
            self.type = "timestamptz" if form.zoned else "timestamp" if form.timed else "date"
        if self.type not in ("timestamp", "timestamptz", "date"):
            raise ValueError(
                f"format {self.format!r} goes with timestamp, timestamptz or date, not with {self.type}"
            )
        if (self.type == "timestamptz") != form.zoned:
            raise ValueError(
                f"format {self.format!r} has no offset %z; use type 'timestamp'"
                if not form.zoned
                else f"format {self.format!r} has an offset %z; use type 'timestamptz'"
            )
        if self.type == "date" and form.timed:
            raise ValueError(f"format {self.format!r} has a time of day; use type 'timestamp'")
        return self


class ImportOptions(BaseModel):
    """Everything of contract section 3, "Import options"."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: str | None = None
    mode: Literal["create", "append", "replace"] = "create"
    delimiter: str | None = None
    encoding: str | None = None
    quote: str | None = '"'
    escape: str | None = None
    header: bool | None = None
    skip: int = Field(0, ge=0, le=1_000_000)
    footer: int = Field(0, ge=0, le=1_000_000)
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'", "_", "\u00a0", "\u202f"] | None = None
    nullValues: list[str] = Field(default_factory=lambda: [""], max_length=100)
    columns: dict[str, ColumnOption] = Field(default_factory=dict)
    onBadRow: Literal["quarantine", "fail"] = "quarantine"
    maxBadShare: float = Field(MAX_BAD_SHARE, ge=0, le=1)
    dryRun: bool = False
    sheet: str | int | None = None
    member: str | None = Field(None, min_length=1, max_length=1000)

    @field_validator("format")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value in _PACKED:
            raise ValueError(
                f"{value!r} is seen by itself; name the format of the file inside, for example 'csv'"
            )
        if value is not None and value not in READ:
            raise ValueError(f"{value!r} is not an import format{nearest(value, READ)}")
        return value

    @field_validator("quote", "escape")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or not value.isascii() or value in "\r\n\0"):
            raise ValueError(f"{value!r} is not one ASCII character; use for example '\"'")
        return value

    @field_validator("delimiter")
    @classmethod
    def _one_or_two(cls, value: str | None) -> str | None:
        if value is not None and (
            len(value) not in (1, 2) or not value.isascii() or set(value) & set("\r\n\0")
        ):
            raise ValueError(
                f"{value!r} is not one or two ASCII characters; use for example ',' or ';' or a tab"
            )
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        return None if value is None else codec_name(value)

    @field_validator("columns", mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: {"type": each} if isinstance(each, str) else each for name, each in value.items()}


_ONLY_TEXT = ("delimiter", "encoding", "quote", "escape")
_OF_TABLES = ("header", "skip", "footer")
_OF_WORDS = ("decimal", "thousands", "nullValues")
_MEANINGLESS = {
    "parquet": (*_ONLY_TEXT, *_OF_TABLES, *_OF_WORDS, "sheet"),
    **dict.fromkeys(("json", "jsonl"), (*_ONLY_TEXT, *_OF_TABLES, "sheet")),
    **dict.fromkeys(("xlsx", "xls"), _ONLY_TEXT),
    **dict.fromkeys(("csv", "tsv"), ("sheet",)),
}


def check_options(value: Any) -> tuple[ImportOptions | None, list[Fault]]:
    """The options and no fault, or every fault found."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        return None, [Fault("/options", f"The options must be a JSON object, not {_shown(value)}.")]
    try:
        options = ImportOptions.model_validate(value)
    except ValidationError as error:
        return None, [_fault(each) for each in error.errors()]
    faults = list(_targets_twice(options))
    if options.delimiter is not None and options.quote is not None and options.quote in options.delimiter:
        faults.append(Fault("/options/quote", f"Quote and delimiter are both {options.quote!r}; change one."))
    if options.escape is not None and options.escape in (options.delimiter, options.quote):
        faults.append(Fault("/options/escape", f"{options.escape!r} has two meanings; change one."))
    if options.thousands == options.decimal:
        faults.append(
            Fault("/options/thousands", f"Thousands and decimal are both {options.decimal!r}; change one.")
        )
    return options, faults


def check_format_options(options: ImportOptions, file_format: str) -> Iterator[Fault]:
    """Options that mean nothing for the format at hand, or contradict it."""
    for name in _MEANINGLESS[file_format]:
        if name in options.model_fields_set and getattr(options, name) is not None:
            has = "no sheets" if name == "sheet" else f"no {name!r}"
            yield Fault(f"/options/{name}", f"A {file_format} file has {has}; leave {name!r} out.")


def pointer(*parts: str | int) -> str:
    """An RFC 6901 pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _targets_twice(options: ImportOptions) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for source, column in options.columns.items():
        target = (column.name or source).lower()
        if target in seen:
            yield Fault(
                pointer("options", "columns", source, "name"),
                f"{column.name or source!r} is also the name of {seen[target]!r}; "
                "give each column its own name.",
            )
        seen.setdefault(target, source)


def _fault(error: Any) -> Fault:
    place = pointer("options", *error["loc"])
    if error["type"] == "extra_forbidden":
        known = ColumnOption.model_fields if len(error["loc"]) > 1 else ImportOptions.model_fields
        return Fault(
            place, f"{error['loc'][-1]!r} is not an import option{nearest(str(error['loc'][-1]), known)}"
        )
    if error["type"] == "value_error":
        message = str(error["ctx"]["error"])
        return Fault(place, message[:1].upper() + message[1:] + ("" if message[-1] in ".?" else "."))
    return Fault(place, f"{error['msg']}, not {_shown(error['input'])}.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
