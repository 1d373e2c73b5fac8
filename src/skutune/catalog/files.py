"""Lines of a text file: compression and encoding.

Catalogs come from spreadsheets and exports, so common mistakes have their own error: another encoding, a workbook or an
archive with the wrong suffix, a truncated gzip file.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import IO, cast

from skutune.errors import InputError

LINE_CHARACTERS = 4 * 1024 * 1024
"""A longer line is refused: such a file is not a table, and the line would be read into memory."""

_SNIFFED_BYTES = 8
_MAGIC = {
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"PK\x03\x04": "a zip archive or an Excel workbook; export the sheet as csv",
    b"PAR1": "a parquet file; name it .parquet",
    b"\x1f\x8b": "compressed; add .gz to its name",
}


def require_file(path: Path) -> None:
    """Raise InputError unless the path is a non-empty file."""
    try:
        if path.is_dir():
            raise InputError(f"catalog {path}: is a folder; name the file in it")
        size = path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"catalog {path}: no such file") from None
    except OSError as error:
        raise InputError(f"catalog {path}: cannot be read: {error.strerror}") from None
    if size == 0:
        raise InputError(f"catalog {path}: is empty; it must have a header and products")


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, plain or .gz, with their line endings, without a byte order mark.

    Raises:
        InputError: not UTF-8 (with the line), not text, not readable, or a line of more than LINE_CHARACTERS.
    """
    try:
        _refuse_other_formats(path)
        with _open(path) as binary:
            yield from _decoded(path, binary)
    except UnicodeDecodeError as error:
        raise InputError(
            f"catalog {path}, line {_line_that_is_not_utf8(path)}: not UTF-8 text ({error.reason}); save it as UTF-8"
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"catalog {path}: not a complete gzip file ({error}); compress it again") from None
    except OSError as error:
        raise InputError(f"catalog {path}: cannot be read: {error.strerror or error}") from None


def is_compressed(path: Path) -> bool:
    """Whether the file name ends in .gz."""
    return path.suffix.lower() == ".gz"


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if is_compressed(path) else path.open("rb")


def _decoded(path: Path, binary: IO[bytes]) -> Iterator[str]:
    # newline="" keeps the line ends: inside quotes they belong to the field.
    text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
    number = 0
    while line := text.readline(LINE_CHARACTERS):
        number += 1
        if len(line) == LINE_CHARACTERS and not line.endswith(("\n", "\r")):
            raise InputError(
                f"catalog {path}, line {number}: longer than {LINE_CHARACTERS:,} characters; write one product per line"
            )
        yield line


def _refuse_other_formats(path: Path) -> None:
    with _open(path) as binary:
        start = binary.read(_SNIFFED_BYTES)
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise InputError(f"catalog {path}: is {what}")
    # Latin text in UTF-16 without a byte order mark: every second byte is zero.
    if len(start) >= 8 and not (any(start[0:8:2]) and any(start[1:8:2])):
        raise InputError(f"catalog {path}: looks like UTF-16 text; save it as UTF-8")


def _line_that_is_not_utf8(path: Path) -> int:
    """The first such line, from 1. Needs a second pass, because the decoder reads ahead and knows no lines."""
    with _open(path) as binary:
        return 1 + sum(1 for _ in takewhile(_is_utf8, binary))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
