"""What a worker that failed said last: its error event, or its last line."""

from __future__ import annotations

import json


def last_error_message(text: str, exit_code: int) -> str:
    """The message of the last JSON error event in a program's log, or else the log's last line."""
    lines = text.strip().splitlines()
    for line in reversed(lines):
        try:
            document = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(document, dict) and document.get("event") == "error":
            return str(document["message"])
    return lines[-1] if lines else f"ended with exit code {exit_code}"
