"""What of the program goes into fingerprints and keys: the prompts, and a version for the code of each stage.

Light on purpose: whoever submits a stage computes its fingerprint here, without loading the stage.
"""

from __future__ import annotations

from types import ModuleType

from skutune.hashing import content_key
from skutune.prompts import (
    answer,
    asking,
    describe,
    expand,
    identify,
    json_schema,
    judge,
    paraphrase,
    question,
    recommend,
)

# Raise a stage's number when its code (parsing, cleaning, rules) makes other rows of the same inputs; then rows of the
# older code are not taken over. Prompts, schemas and settings are in the keys by themselves.
_VERSIONS: dict[str, int] = {"classify": 3, "distinct": 2, "link": 3, "finetune": 3, "evaluate": 4}

# Prompt modules whose templates change what a stage writes.
_PROMPTS: dict[str, tuple[ModuleType, ...]] = {
    "describe": (describe,),
    "paraphrase": (paraphrase,),
    "question": (question, json_schema),
    "recommend": (recommend, json_schema),
    "expand": (expand,),
    "answer": (answer, json_schema),
    "compose": (asking, identify),
    "evaluate": (asking, identify, judge),
}


def version_of(stage: str) -> int:
    """The version of a stage's code; 1 until it is raised."""
    return _VERSIONS.get(stage, 1)


def prompts_digest(stage: str) -> str:
    """A digest of the stage's prompt templates and code version, for its fingerprint."""
    templates = [
        {key: value for key, value in vars(module).items() if key.isupper()} for module in _PROMPTS.get(stage, ())
    ]
    return content_key([stage, version_of(stage), templates])
