"""Lines of a text file: compression and encoding.

Catalogs come from spreadsheets and exports, so common mistakes have their own error: a workbook or an archive with the
wrong suffix, a truncated gzip file, bytes that are no text.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from skutune.catalog.encoding import DamagedUtf8Error, Encoding, detect_encoding
from skutune.errors import InputError

LINE_CHARACTERS = 4 * 1024 * 1024
"""A longer line is refused: such a file is not a table, and the line would be read into memory."""

_MAGIC = {
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


class TextFile:
    """A text file, plain or .gz, in the configured encoding or the detected one.

    Attributes:
        encoding: the codec, and whether it was guessed.

    Raises:
        InputError: not text, not readable, an unknown encoding, or UTF-8 with damaged lines.
    """

    def __init__(self, path: Path, encoding: str = "auto") -> None:
        self.path = path
        try:
            self._refuse_other_formats()
            self.encoding = detect_encoding(self._open) if encoding == "auto" else Encoding(_bom_aware(encoding))
        except DamagedUtf8Error as error:
            raise self._not_text(error.line, "UTF-8") from None
        except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
            raise self._unreadable(error) from None

    def lines(self) -> Iterator[str]:
        """The lines with their line endings, without a byte order mark.

        Raises:
            InputError: not in this encoding (with the line), no text, not readable, or a line of more than
                LINE_CHARACTERS.
        """
        number = 0
        try:
            with self._open() as binary:
                # newline="" keeps the line ends: inside quotes they belong to the field.
                text = io.TextIOWrapper(binary, encoding=self.encoding.name, newline="")
                while line := text.readline(LINE_CHARACTERS):
                    number += 1
                    self._check_length(number, line)
                    yield line
        except UnicodeDecodeError:
            raise self._not_text(self._undecodable_line(), self.encoding.name) from None
        except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
            raise self._unreadable(error) from None

    def _open(self) -> IO[bytes]:
        return cast(IO[bytes], gzip.open(self.path, "rb")) if is_compressed(self.path) else self.path.open("rb")

    def _check_length(self, number: int, line: str) -> None:
        if len(line) == LINE_CHARACTERS and not line.endswith(("\n", "\r")):
            raise InputError(
                f"catalog {self.path}, line {number}: longer than {LINE_CHARACTERS:,} characters; "
                "write one product per line"
            )

    def _refuse_other_formats(self) -> None:
        with self._open() as binary:
            start = binary.read(max(map(len, _MAGIC)))
        for magic, what in _MAGIC.items():
            if start.startswith(magic):
                raise InputError(f"catalog {self.path}: is {what}")

    def _undecodable_line(self) -> int:
        """The first line, from 1, with an undecodable character: the decoder reads ahead and knows no lines."""
        with self._open() as binary:
            text = io.TextIOWrapper(binary, encoding=self.encoding.name, errors="replace", newline="")
            number = 0
            while line := text.readline(LINE_CHARACTERS):
                number += 1
                if "\ufffd" in line:
                    break
            return number

    def _not_text(self, line: int, encoding: str) -> InputError:
        return InputError(
            f"catalog {self.path}, line {line}: not {encoding} text; save the file as UTF-8, or set catalog.encoding"
        )

    def _unreadable(self, error: Exception) -> InputError:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            return InputError(f"catalog {self.path}: cannot be read: {error.strerror or error}")
        return InputError(f"catalog {self.path}: not a complete gzip file ({error}); compress it again")


def is_compressed(path: Path) -> bool:
    """Whether the file name ends in .gz."""
    return path.suffix.lower() == ".gz"


def _bom_aware(encoding: str) -> str:
    """A codec that also drops a UTF-8 byte order mark."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
