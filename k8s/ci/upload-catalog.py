"""Uploads a catalog to the store: upload-catalog.py FILE s3://bucket/key

The URI is `config.catalog.source` of the release. boto3 reads endpoint and credentials from its usual environment
variables. Throttled requests are retried with backoff.

Exit codes: 10 fix the arguments, the file or the credentials; 75 try again later.
"""

from __future__ import annotations

import sys
from pathlib import Path

from skutune.errors import InputError, SkutuneError
from skutune.store import open_store


def upload(file: Path, uri: str) -> None:
    """Upload one file.

    Raises:
        InputError: the file does not exist, or the URI is not that of an object.
        RetryableError: the server is unreachable.
    """
    folder, _, name = uri.rpartition("/")
    if not uri.startswith("s3://") or not name or folder == "s3:/":
        raise InputError(f"{uri}: not the URI of an object; use the form s3://bucket/products.csv")
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    open_store(folder).put_file(name, file)


def main() -> None:
    if len(sys.argv) != 3:
        print(f"usage: {sys.argv[0]} FILE s3://bucket/key", file=sys.stderr)
        raise SystemExit(InputError.exit_code)
    try:
        upload(Path(sys.argv[1]), sys.argv[2])
    except SkutuneError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(f"uploaded {sys.argv[1]} to {sys.argv[2]}", file=sys.stderr)


if __name__ == "__main__":
    main()
