"""A store in a local folder, with keys as relative paths.

Puts are atomic and durable: once one returns, it survives a power failure. Folders exist only while they contain
objects, as in S3.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from skutune.errors import InputError
from skutune.store.atomic_files import atomic_write, remove_leftovers, translate_os_errors
from skutune.store.base import NotFoundError, ObjectInfo
from skutune.store.keys import TEMPORARY, check_key, check_prefix

_NOT_A_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class LocalStore:
    """Objects as files below `root`, which the first put creates. Implements `ObjectStore`.

    Raises:
        InputError: `root` is a file.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root.expanduser()))
        with translate_os_errors("read", self.root):
            usable = self.root.is_dir() or not self.root.exists()
        if not usable:
            raise InputError(f"store {self.root}: is a file; use a folder")

    @property
    def uri(self) -> str:
        """The absolute path of the folder."""
        return str(self.root)

    def put(self, key: str, data: bytes) -> None:
        """Write an object atomically."""
        path = self._path(key)
        with translate_os_errors("write", path), atomic_write(path, durable=True) as file:
            file.write(data)

    def put_file(self, key: str, path: Path) -> None:
        """Write an object atomically from a file."""
        target = self._path(key)
        with (
            open(path, "rb") as source,
            translate_os_errors("write", target),
            atomic_write(target, durable=True) as file,
        ):
            shutil.copyfileobj(source, file, 1 << 20)

    def get(self, key: str) -> bytes:
        """The content of an object. Raises NotFoundError."""
        path = self._path(key)
        with translate_os_errors("read", path):
            try:
                return path.read_bytes()
            except _NOT_A_FILE:
                raise self._not_found(key) from None

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object to a file atomically. Raises NotFoundError."""
        source_path = self._path(key)
        with ExitStack() as stack:
            with translate_os_errors("read", source_path):
                try:
                    source = stack.enter_context(open(source_path, "rb"))
                except _NOT_A_FILE:
                    raise self._not_found(key) from None
            with translate_os_errors("write", path), atomic_write(path, durable=False) as file:
                shutil.copyfileobj(source, file, 1 << 20)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, sorted by key."""
        folder, separator, start = check_prefix(prefix).rpartition("/")
        return self._walk(folder + separator, start)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """The sorted names of the folders directly below the prefix."""
        folder, separator, start = check_prefix(prefix).rpartition("/")
        entries = self._entries(folder + separator, start)
        return iter(sorted(name[:-1] for name, status in entries.items() if status is None))

    def head(self, key: str) -> ObjectInfo | None:
        """The metadata of an object, or None."""
        path = self._path(key)
        with translate_os_errors("read", path):
            try:
                status = path.stat()
            except _NOT_A_FILE:
                return None
        return _info(key, status) if stat.S_ISREG(status.st_mode) else None

    def delete(self, key: str) -> None:
        """Delete an object and the folders that this leaves empty."""
        path = self._path(key)
        with translate_os_errors("delete", path):
            if self.head(key) is None:
                return
            path.unlink(missing_ok=True)
        self._prune(path.parent)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _not_found(self, key: str) -> NotFoundError:
        return NotFoundError(f"store {self.root}: no object {key!r}")

    def _walk(self, folder: str, start: str = "") -> Iterator[ObjectInfo]:
        """The objects below a folder ("" or "a/b/") whose next path segment starts with `start`.

        Folder names sort with their trailing slash ("a-b" before "a/b"), so that the walk is in key order.
        """
        entries = self._entries(folder, start)
        for name in sorted(entries):
            status = entries[name]
            if status is None:
                yield from self._walk(folder + name)
            else:
                yield _info(folder + name, status)

    def _entries(self, folder: str, start: str) -> dict[str, os.stat_result | None]:
        """The stat result of each file in a folder by name; subfolders end with a slash and map to None."""
        entries: dict[str, os.stat_result | None] = {}
        with (
            translate_os_errors("list", self.root / folder),
            suppress(*_NOT_A_FILE),
            os.scandir(self.root / folder) as listing,
        ):
            for entry in listing:
                if not entry.name.startswith(start) or entry.name.startswith(TEMPORARY):
                    continue
                if entry.is_dir():
                    entries[entry.name + "/"] = None
                elif entry.is_file():
                    # It may have been deleted since the listing.
                    with suppress(FileNotFoundError):
                        entries[entry.name] = entry.stat()
        return entries

    def _prune(self, folder: Path) -> None:
        # rmdir fails for a folder that is not empty, including objects that another process has put meanwhile.
        with suppress(OSError):
            while folder != self.root:
                remove_leftovers(folder, TEMPORARY)
                folder.rmdir()
                folder = folder.parent


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, status.st_size, str(status.st_mtime_ns))
