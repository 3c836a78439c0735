"""Which encoding text is in: by its mark, else UTF-8 if it mostly is, else the likeliest 8-bit one.

Measured on the samples, charset-normalizer ties cp1250 with cp1252 and takes a lone (R) for Mac Roman;
letters that languages really use, beside letters of their own script, decide better.
"""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WEST = "éèàáâäãåæçêëíìîïñóòôöõøúùûüßœÉÈÀÁÂÄÅÆÇÊËÍÎÑÓÔÖØÚÜŒ"
_EAST = "ąćęłńóśźżáčďéěíňřšťúůýžőűăâîșțşţđĄĆĘŁŃÓŚŹŻÁČĎÉĚÍŇŘŠŤÚŮÝŽŐŰĐ"
_CYRILLIC = "абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїєґўАБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯІЇЄҐ"
_GREEK = "αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΆΈΉΊΌΎΏ"
_TURKISH = "çğıöşüâîÇĞİÖŞÜ"
_SIGNS = "€£¥§©®°±²³µ·«»–—‘’“”„…•™¿¡ªº№\u00a0½¼¾´"
# likelier first: an equal score keeps the order
_LETTERS = {
    "cp1252": _WEST,
    "cp1250": _EAST,
    "iso8859-2": _EAST,
    "cp1251": _CYRILLIC,
    "koi8-r": _CYRILLIC,
    "cp866": _CYRILLIC,
    "cp1254": _TURKISH,
    "cp1253": _GREEK,
    "cp850": _WEST,
    "mac-roman": _WEST,
}
_PRIOR = {"cp1252": 0.2, "cp850": -0.35, "mac-roman": -0.35}
_ALONE = ("cp1251", "koi8-r", "cp866", "cp1253")  # scripts whose words hold no Latin letter
_WORD = re.compile(r"[^\W\d_]+")


def marked(head: bytes) -> tuple[str | None, int]:
    """(encoding, length of the mark) that the first bytes say; UTF-16 is also known by its zeros."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name, len(mark) if name == "utf-8" else 0
    some = head[:400]
    if len(some) > 3 and some.count(0) * 4 > len(some):
        return ("utf-16-le" if some[1::2].count(0) > some[::2].count(0) else "utf-16-be"), 0
    return None, 0


class Evidence:
    """Fed every block of a file; remembers some lines that are not ASCII and whether all of it is UTF-8."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._kept = 0
        self.good = self.bad = 0

    def feed(self, block: bytes) -> None:
        """Whole lines."""
        if block.isascii():
            return
        try:
            block.decode()
            self.good += 1
            return
        except UnicodeDecodeError:
            pass
        for line in re.split(rb"[\r\n]+", block):
            if not line.isascii():
                self._judge(line)

    def _judge(self, line: bytes) -> None:
        try:
            line.decode()
            self.good += 1
        except UnicodeDecodeError:
            self.bad += 1
            if self._kept < 1 << 16:
                self._lines.append(line)
                self._kept += len(line)

    def decide(self) -> str:
        """UTF-8 when as many lines are as are not (those get rejected), else the likeliest 8-bit one."""
        if not self.bad or self.good >= self.bad:
            return "utf-8"
        text = b"\n".join(self._lines)
        scores = {name: _plausible(text, name) for name in _LETTERS}
        best = max(scores, key=lambda name: scores[name])
        return best if scores[best] > 0 else "utf-8"


def _plausible(data: bytes, encoding: str) -> float:
    """How much the text looks like words: usual letters count, strange ones and mixed case count against."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return -1.0
    usual = _LETTERS[encoding]
    score, letters = 0.0, 0
    for character in text:
        if ord(character) < 128:
            continue
        letters += 1
        score += 1.0 if character in usual else 0.6 if character in _SIGNS else -2.0
    for word in _WORD.findall(text):
        if not word.isascii() and len(word) > 1:
            tail = word[1:]
            score -= 1.5 * (not (tail.islower() or word.isupper()))
            score -= 2.0 * (encoding in _ALONE and any(letter.isascii() for letter in word))
    if encoding != "cp1252" and not any(character in usual for character in text):
        return -1.0  # signs alone prove no rarer encoding
    return score / max(1, letters) + _PRIOR.get(encoding, 0.0)
