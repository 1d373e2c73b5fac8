"""Saves and loads a linker: readable metadata in `linker.json`, arrays in `linker.safetensors`.

Vectors are stored in half precision, which changes a cosine by less than 0.001 and halves the file. Pickle is not used,
because loading a pickle from a store can execute code.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.errors import InputError
from skutune.linking.calibration import Calibration
from skutune.linking.features import Categories, Features
from skutune.linking.index.lexical import LexicalIndex
from skutune.linking.index.nearest import Nearest
from skutune.linking.index.postings import Postings
from skutune.linking.linker import Linker
from skutune.linking.vectors.classifier import Projection
from skutune.linking.vectors.cosine_scale import CosineScale, Scale

_FORMAT = 4  # increased whenever the files or their meaning change


def save_linker(linker: Linker, folder: Path) -> None:
    """Write the linker's two files into a folder, which is created."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(_arrays(linker.evidence), folder / "linker.safetensors")
    document = {
        "format": _FORMAT,
        "ruler": asdict(linker.evidence.ruler),
        "calibration": asdict(linker.calibration),
        "vocabulary": linker.evidence.index.vocabulary,
        "ids": linker.ids,
        "names": linker.names,
    }
    (folder / "linker.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def load_linker(folder: Path) -> Linker:
    """Load a saved linker. Raises InputError if it is missing or was saved by another version of skutune."""
    from safetensors.numpy import load_file

    if not all((folder / name).is_file() for name in ("linker.json", "linker.safetensors")):
        raise InputError(f"{folder}: holds no linker; run the classify stage first")
    document = json.loads((folder / "linker.json").read_text(encoding="utf-8"))
    if document.get("format") != _FORMAT:
        raise InputError(f"{folder}: a linker of another version of skutune; run the classify stage again")
    evidence = _evidence(load_file(folder / "linker.safetensors"), document)
    return Linker(document["ids"], document["names"], evidence, Calibration.restore(document["calibration"]))


def _arrays(evidence: Features) -> dict[str, NDArray[Any]]:
    index, kinds = evidence.index, evidence.kinds
    arrays: dict[str, NDArray[Any]] = {
        "names": evidence.names.astype(np.float16),
        "prototypes": evidence.prototypes.astype(np.float16),
        "kinds.codes": kinds.codes,
        "kinds.centres": kinds.centres,
        **{f"words.{name}": array for name, array in index.products.items()},
    }
    for part, postings in (("names", index.names), ("attributes", index.attributes), ("sizes", index.sizes)):
        arrays |= {f"postings.{part}.starts": postings.starts, f"postings.{part}.products": postings.products}
    if evidence.projection.weight is not None:
        arrays["projection"] = evidence.projection.weight
    if evidence.nearest.basis is not None:
        arrays["basis"] = evidence.nearest.basis
    # safetensors writes the underlying memory, also of strided views.
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _evidence(arrays: dict[str, NDArray[Any]], document: dict[str, Any]) -> Features:
    size = len(document["ids"])
    # Popped, so that the half-precision arrays are freed.
    names, prototypes = arrays.pop("names").astype(np.float32), arrays.pop("prototypes").astype(np.float32)
    of_names, of_attributes, of_sizes = (
        Postings.restore(arrays[f"postings.{part}.starts"], arrays[f"postings.{part}.products"], size)
        for part in ("names", "attributes", "sizes")
    )
    words = {name.removeprefix("words."): array for name, array in arrays.items() if name.startswith("words.")}
    ruler = document["ruler"]
    return Features(
        index=LexicalIndex(document["vocabulary"], of_names, of_attributes, of_sizes, words),
        names=names,
        prototypes=prototypes,
        projection=Projection(arrays.get("projection")),
        ruler=CosineScale(Scale(**ruler["name"]), Scale(**ruler["text"])),
        kinds=Categories(arrays["kinds.codes"], arrays["kinds.centres"]),
        nearest=Nearest.restore(names, prototypes, basis=arrays.get("basis")),
    )
