"""Which base model an adapter belongs to.

PEFT notes a name, and a name says little: a folder may hold other weights than last month, and an adapter fits the
shapes of every model of its size, on which it then answers nonsense without a word. So a digest of the base's weights
lies beside the adapter, and is compared before the two are put together.
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
    """Write beside an adapter which weights it was trained on; `name` is for people."""
    note = {"base_model": name, "weights": weights_sample(base)}
    (adapter / _NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def check_base(adapter: Path, base: Path) -> None:
    """See that an adapter was trained on this base model.

    An adapter of another program has no note; then only the shapes can tell, when it is loaded.

    Raises:
        InputError: the folder is no adapter, or the base has other weights than the one it was trained on.
    """
    if not (adapter / _CONFIG).is_file():
        raise InputError(f"adapter {adapter}: holds no {_CONFIG}; name the folder that a fine-tuning wrote")
    note = adapter / _NOTE
    if not note.is_file():
        return
    told = json.loads(note.read_text(encoding="utf-8"))
    if told["weights"] != weights_sample(base):
        raise InputError(
            f"adapter {adapter}: was trained on {told['base_model']}, and the base model {base} has other weights; "
            "name the base model that it was trained on, or fine-tune this one"
        )


def weights_sample(folder: Path) -> str:
    """A digest of a model's weights from pieces of each file: as good as one of all to tell models apart, at once.

    Raises:
        InputError: the folder holds no weights.
    """
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not files:
        raise InputError(f"base model {folder}: holds no weights (*.safetensors or *.bin)")
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for number in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
