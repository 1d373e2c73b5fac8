"""The final error message in the log of a failed worker."""

from __future__ import annotations

import json


def last_error_message(text: str, exit_code: int) -> str:
    """The message of the last JSON error event in a log, or else its last line."""
    lines = text.strip().splitlines()
    for line in reversed(lines):
        try:
            document = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(document, dict) and document.get("event") == "error":
            return str(document["message"])
    return lines[-1] if lines else f"exited with code {exit_code}"
