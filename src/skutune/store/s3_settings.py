"""Request parameters that a bucket's policy may demand: encryption, requester pays, a checksum.

They are read from the environment, as boto3 reads endpoint and credentials: they belong to where a store is, not to
what a run computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skutune.errors import InputError

ENCRYPTION, KMS_KEY = "SKUTUNE_S3_ENCRYPTION", "SKUTUNE_S3_KMS_KEY_ID"
REQUEST_PAYER, CHECKSUM = "SKUTUNE_S3_REQUEST_PAYER", "SKUTUNE_S3_CHECKSUM_ALGORITHM"

ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")
CHECKSUMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """Parameters of boto3's calls that write objects (`write`) and of all its calls about objects (`read`)."""

    write: Mapping[str, str]
    read: Mapping[str, str]


def request_settings(environment: Mapping[str, str]) -> RequestSettings:
    """The settings in these environment variables; an empty variable is not set.

    Raises:
        InputError: a value is unknown, or a KMS key is set without its kind of encryption.
    """
    encryption = _choice(environment, ENCRYPTION, ENCRYPTIONS)
    payer = _choice(environment, REQUEST_PAYER, ("requester",))
    checksum = _choice(environment, CHECKSUM, CHECKSUMS)
    key = environment.get(KMS_KEY, "")
    if key and encryption not in ("aws:kms", "aws:kms:dsse"):
        raise InputError(f"{KMS_KEY} is set, but {ENCRYPTION} is {encryption or 'not set'}; set it to aws:kms")
    read = {"RequestPayer": payer} if payer else {}
    write = {"ServerSideEncryption": encryption, "SSEKMSKeyId": key, "ChecksumAlgorithm": checksum}
    return RequestSettings({**read, **{name: value for name, value in write.items() if value}}, read)


def _choice(environment: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = environment.get(name, "")
    if value and value not in choices:
        raise InputError(f"{name}: {value!r} is unknown; use {', '.join(choices)}")
    return value
