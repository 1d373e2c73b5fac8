"""The encoding of a text file: a byte order mark, else UTF-8, else a guess from its lines that are not ASCII.

A file whose non-ASCII lines are mostly UTF-8 is damaged, not encoded otherwise: another encoding would garble the lines
that are right, so it is refused with its first damaged line.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from chardet import detect

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 64 * 1024
_UTF8_SHARE = 0.5
"""From this share of the non-ASCII lines on, a file is damaged UTF-8."""

_LATIN = ("cp1252", "cp1250", "cp1254", "cp1257")
_NON_LATIN = ("cp1251", "cp1253", "cp1255", "cp1256", "cp874", "cp932", "gb18030", "big5", "cp949")
"""What spreadsheets and databases write; a guess among all known encodings is wrong for short files."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec's name, and whether it was guessed."""

    name: str
    guessed: bool = False

    def __str__(self) -> str:
        return f"{self.name} (guessed)" if self.guessed else self.name


class DamagedUtf8Error(ValueError):
    """A UTF-8 file with bytes that are not; `line` is the first such line, from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line} is not UTF-8")
        self.line = line


def detect_encoding(open_binary: Callable[[], IO[bytes]]) -> Encoding:
    """The encoding of a file, read once, or twice where it is not UTF-8.

    Raises:
        DamagedUtf8Error: the file is UTF-8 except for some lines.
        OSError, EOFError, zlib.error: as the file raises them.
    """
    with open_binary() as file:
        start = file.read(64)
        if (marked := _by_mark(start)) is not None:
            return Encoding(marked)
        decoder = codecs.getincrementaldecoder("utf-8")()
        block = start
        try:
            while block:
                decoder.decode(block)
                block = file.read(1024 * 1024)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            pass
        else:
            return Encoding("utf-8")
    with open_binary() as file:
        return _guess(file)


def _by_mark(start: bytes) -> str | None:
    for mark, name in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return name
    # Latin text in UTF-16 without a byte order mark: every second byte is zero.
    even, odd = start[0:8:2], start[1:8:2]
    if len(start) >= 8 and not any(odd) and all(even):
        return "utf-16-le"
    if len(start) >= 8 and not any(even) and all(odd):
        return "utf-16-be"
    return None


def _guess(file: IO[bytes]) -> Encoding:
    sample = bytearray()
    utf8 = other = first = 0
    for number, line in enumerate(file, start=1):
        if line.isascii():
            continue
        if _is_utf8(line):
            utf8 += 1
        else:
            other += 1
            first = first or number
        if len(sample) < _SAMPLE_BYTES:
            sample += line
    if utf8 >= _UTF8_SHARE * (utf8 + other):
        raise DamagedUtf8Error(first)
    return Encoding(_legacy(bytes(sample[:_SAMPLE_BYTES])), guessed=True)


def _legacy(sample: bytes) -> str:
    candidates = _LATIN if _is_latin(sample) else _NON_LATIN
    name = detect(sample, include_encodings=candidates, no_match_encoding=candidates[0])["encoding"]
    return codecs.lookup(name or candidates[0]).name


def _is_latin(sample: bytes) -> bool:
    """Whether most non-ASCII bytes stand beside an ASCII letter, as accented letters do in Latin script."""
    beside = total = 0
    for place, byte in enumerate(sample):
        if byte >= 0x80:
            total += 1
            beside += any(chr(near).isalpha() for near in sample[max(place - 1, 0) : place + 2] if near < 0x80)
    return 2 * beside >= total


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
