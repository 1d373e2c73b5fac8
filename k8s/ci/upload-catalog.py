"""Puts a catalog where runs read it: upload-catalog.py FILE s3://bucket/key

The address is `config.catalog.source` of the release. Endpoint and credentials come from where boto3 looks for them, as
for skutune itself, whose store does the work: throttled requests are tried again, and a wrong key is explained.

Exit codes are skutune's: 10 the call, the file or the credentials must change; 75 try again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from skutune.errors import InputError, SkutuneError
from skutune.store import open_store


def upload(file: Path, address: str) -> None:
    """Put one file whole.

    Raises:
        InputError: there is no such file, or the address names no object.
        RetryableError: the server cannot be reached.
    """
    folder, _, name = address.rpartition("/")
    if not address.startswith("s3://") or not name or folder == "s3:/":
        raise InputError(f"{address}: not an address of an object; write s3://bucket/products.csv")
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
    print(f"{sys.argv[1]} is at {sys.argv[2]}", file=sys.stderr)


if __name__ == "__main__":
    main()
