"""Which base model an adapter belongs to.

PEFT records only a name: a folder may have other weights than last month, and an adapter fits the shapes of every model
of its size, where it silently answers nonsense. A digest of the base's weights is therefore stored beside the adapter
and compared before the two are combined.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from skutune.errors import InputError

_NOTE = "base.json"
_CONFIG = "adapter_config.json"
_SAMPLES, _SAMPLE_BYTES = 16, 1 << 16


def note_base(adapter: Path, base: Path, name: str) -> None:
    """Record which weights an adapter was trained on, beside it; `name` is for people."""
    note = {"base_model": name, "weights": weights_sample(base)}
    (adapter / _NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def check_base(adapter: Path, base: Path) -> None:
    """Check that an adapter was trained on this base model.

    An adapter of another program has no record; then only its shapes are checked, when it is loaded.

    Raises:
        InputError: the folder is not an adapter, or it was trained on other base weights.
    """
    if not (adapter / _CONFIG).is_file():
        raise InputError(f"adapter {adapter}: has no {_CONFIG}; give a folder that a fine-tuning wrote")
    note = adapter / _NOTE
    if not note.is_file():
        return
    recorded = json.loads(note.read_text(encoding="utf-8"))
    if recorded["weights"] != weights_sample(base):
        raise InputError(
            f"adapter {adapter}: was trained on {recorded['base_model']}, but the base model {base} has other weights; "
            "use the base model that it was trained on, or fine-tune this one"
        )


def weights_sample(folder: Path) -> str:
    """A digest of a model's weights from samples of each file, which is fast and still tells models apart.

    Raises:
        InputError: the folder holds no weights.
    """
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not files:
        raise InputError(f"base model {folder}: has no weights (*.safetensors or *.bin)")
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for number in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
