"""The type of a column nobody gave one, decided on every value of the file.

A type is taken only when it keeps each value as it is written: leading zeros and over-long numbers stay text,
nothing rounds. A Guess is fed batches of text by whoever reads a part; guesses of parts join into one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.imports import bytewise, moments
from pipelines.imports.convert import Numbers
from pipelines.imports.dressed import Dressed, grown, together
from pipelines.imports.money import is_dressed
from pipelines.imports.numerals import STYLES, Measure, every, feed_styles, joined, measures, style_named
from pipelines.plan import Json

# words for "missing" that a column of numbers, times or truths may hold; in a column of text they are text
MISSING = (
    *(
        "NA",
        "N/A",
        "n/a",
        "na",
        "#N/A",
        "NULL",
        "null",
        "Null",
        "None",
        "NONE",
        "none",
        "\\N",
        "nil",
        "(null)",
    ),
    *(
        "-",
        "--",
        "---",
        ".",
        "..",
        "...",
        "*",
        "**",
        "***",
        "****",
        "*****",
        "?",
        "n.a.",
        "n.d.",
        "k.A.",
        "\u2013",
    ),
)
_MISSING = pa.array(MISSING, pa.string())
_TRUTHS = pa.array(["true", "false"])


@dataclass(frozen=True, slots=True)
class Reading:
    """What a column becomes and how its cells are written. `doubt` is a sentence for the receipt.

    `digits` are those before the point that its numbers have at most; `seen` says that there was any value;
    `dress` is the mark that amounts have ("" for parentheses alone).
    """

    type: str
    format: str | None = None
    decimal: str = "."
    thousands: str | None = None
    nulls: tuple[str, ...] = ()
    doubt: str | None = None
    digits: int = 0
    seen: bool = True
    dress: str | None = None


class Guess:
    """What one column may still be. `decimal_only` finds precision and scale of a column that is decimal.

    `worded` says that the file itself calls the values text (JSON strings, Excel text): they may be times,
    never numbers. With `fixed` the user said how numbers are written, so no other way is tried.
    """

    def __init__(
        self,
        numbers: Numbers,
        *,
        decimal_only: bool = False,
        fixed: bool = False,
        worded: bool = False,
        state: Json | None = None,
    ) -> None:
        self._numbers = numbers
        self._decimal_only = decimal_only
        self._fixed = style_named(numbers.decimal, numbers.thousands) if fixed else None
        self._seen = False
        self._boolean = not worded
        self._words: set[str] = set()
        styles = [self._fixed] if self._fixed else list(STYLES)
        styles = ["plain"] if decimal_only else [] if worded else styles
        self._styles = {style: Measure() for style in styles}
        self._times: set[str] = set()
        self._dressed: Dressed | None = None
        if state:
            self._seen, self._boolean = state["seen"], state["boolean"]
            self._words, self._times = set(state["words"]), set(state["times"])
            self._styles = measures(state["styles"])
            self._dressed = Dressed.from_json(state["dressed"])

    def to_json(self) -> Json:
        return {
            "seen": self._seen,
            "boolean": self._boolean,
            "words": sorted(self._words),
            "times": sorted(self._times),
            "styles": {style: measure.to_json() for style, measure in self._styles.items()},
            "dressed": None if self._dressed is None else self._dressed.to_json(),
        }

    def join(self, other: Guess) -> None:
        """Take in what another part of the same column has seen."""
        self._words |= other._words
        self._dressed = together(self._dressed, self._styles, other._dressed, other._styles)
        self._styles = joined(self._styles, other._styles)
        self._boolean = self._boolean and other._boolean
        if self._seen and other._seen:
            self._times &= other._times
        elif other._seen:
            self._times = set(other._times)
        self._seen = self._seen or other._seen

    @property
    def open(self) -> bool:
        """Can more values still change the answer to anything but text?"""
        undecided = self._boolean or self._styles or self._times or self._dressed
        return not self._seen or self._decimal_only or bool(undecided)

    def feed(self, text: pa.Array) -> None:
        """More values of the column, as text; nulls and words for missing count for nothing."""
        if not self.open or (not self._decimal_only and self._fed_quickly(text)):
            return
        values = self._present(text)
        if not len(values):
            return
        first, self._seen = not self._seen, True
        if self._decimal_only:
            self._styles["plain"].feed_decimals(values, self._numbers)
            return
        if self._boolean:
            self._boolean = every(pc.is_in(pc.utf8_lower(values), value_set=_TRUTHS))
        if self._styles or self._dressed:
            self._feed_numbers(values)
        if first:
            self._times = moments.candidates(values)
        if self._times:
            self._times = moments.fitting(values, self._times)

    def _fed_quickly(self, text: pa.Array) -> bool:
        """Clean columns of numbers or ISO times, by their bytes."""
        if self._numbers.nulls and not set(self._numbers.nulls) <= {"", *MISSING}:
            return False
        if self._styles and not self._dressed and (digits := bytewise.plain_numbers(text)) is not None:
            return self._fed_digits(digits)
        if self._boolean or self._styles or not self._times:
            return False
        shape = bytewise.iso_shape(text.drop_null())
        if shape is None:
            return False
        self._times = {each for each in self._times if each in (shape, "timestamp")}
        self._times = moments.in_years(text, self._times)
        return True

    def _fed_digits(self, digits: bytewise.Digits) -> bool:
        """Plain numbers fit every style with a decimal point; those with a comma take whole ones."""
        if digits.behind and digits.least == 3 and digits.before <= 3:
            return False  # 1.234 could be a thousand
        if not digits.whole and not digits.behind:
            return False
        self._seen, self._boolean, self._times = True, False, set()
        for style in list(self._styles):
            if digits.behind and STYLES[style][0] == ",":
                del self._styles[style]
            else:
                self._styles[style].feed_digits(digits)
        return True

    def decide(self, delimiter: str = ",", day_first: bool | None = None) -> Reading | None:
        """The reading; None when a decimal column needs more than 38 digits."""
        if self._decimal_only:
            measure = self._styles["plain"]
            kind = measure.decimal()
            return None if kind is None else self._as_number(kind, "plain", measure)
        if not self._seen:
            return Reading("text", seen=False)
        words = self.words
        if self._boolean:
            return Reading("boolean", nulls=words)
        number = self._number(self._styles, delimiter) or self._amount(delimiter)
        if number is not None:
            return number
        kind, form, ambiguous = moments.pick(self._times)
        if ambiguous and form is not None:
            if day_first is None:
                said = (
                    "may put the day or the month first; it stays text, give it a format in options.columns"
                )
                return Reading("text", doubt=said)
            form = next(
                each
                for each in moments.FORMATS
                if each in self._times and moments.day_first(each) is day_first
            )
        return Reading(kind, form, nulls=words) if kind else Reading("text")

    @property
    def words(self) -> tuple[str, ...]:
        """The words for missing that were seen."""
        return tuple(sorted(self._words))

    def day_first(self) -> bool | None:
        """Does this column alone prove that days come before months?"""
        _, form, ambiguous = moments.pick(self._times)
        return None if form is None or ambiguous or not self._seen else moments.day_first(form)

    def _amount(self, delimiter: str) -> Reading | None:
        """Numbers in a dress: always decimals."""
        if self._dressed is None or not self._dressed.sure:
            return None
        number = self._number(self._dressed.styles, delimiter)
        if number is None:
            return None
        kind = self._dressed.styles[style_named(number.decimal, number.thousands)].decimal()
        said = "; it also ".join(filter(None, (self._dressed.said, number.doubt)))
        return None if kind is None else replace(number, type=kind, dress=self._dressed.mark, doubt=said)

    def _number(self, styles: Mapping[str, Measure], delimiter: str) -> Reading | None:
        alive = {style: measure for style, measure in styles.items() if measure.sound}
        if not alive:
            return None
        style = next(iter(alive))
        doubt = None
        if style == "comma" and "us" in alive:  # "1,234" alone could be either
            style = "us" if delimiter == "," else "comma"
            meaning = "thousands" if style == "us" else "decimals"
            doubt = (
                f"has commas that were taken for {meaning}; set options.decimal or options.thousands if not"
            )
        kind = alive[style].type()
        return None if kind is None else self._as_number(kind, style, alive[style], doubt)

    def _as_number(self, kind: str, style: str, measure: Measure, doubt: str | None = None) -> Reading:
        decimal, thousands = STYLES[style]
        if self._decimal_only or self._fixed:
            decimal, thousands = self._numbers.decimal, self._numbers.thousands
        digits = max(measure.whole, measure.longest)
        return Reading(kind, None, decimal, thousands, self.words, doubt, digits)

    def _present(self, text: pa.Array) -> pa.Array:
        values = text.unique().drop_null()
        if self._numbers.nulls:
            missing = pc.is_in(values, value_set=pa.array(self._numbers.nulls, pa.string()))
            values = values.filter(pc.invert(missing))
        words = pc.is_in(values, value_set=_MISSING)
        if pc.any(words).as_py():
            self._words.update(values.filter(words).to_pylist())
            values = values.filter(pc.invert(words))
        return values

    def _feed_numbers(self, values: pa.Array) -> None:
        if is_dressed(values):
            self._dressed = grown(self._dressed, self._styles, values)
        elif self._dressed is not None:
            self._dressed = self._dressed.plain(values)
        feed_styles(self._styles, values)
