"""The parts of fingerprints and keys that come from the program: prompts, and a code version per stage.

Light on imports: submitters compute fingerprints without loading the stages.
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

# Increment a stage's version when its code (parsing, cleaning, rules) produces different rows from the same inputs, so
# that old rows are not reused. Prompts, schemas and settings are part of the keys anyway.
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
    """The code version of a stage; 1 by default."""
    return _VERSIONS.get(stage, 1)


def prompts_digest(stage: str) -> str:
    """A digest of the prompt templates and the code version of a stage, for its fingerprint."""
    templates = [
        {key: value for key, value in vars(module).items() if key.isupper()} for module in _PROMPTS.get(stage, ())
    ]
    return content_key([stage, version_of(stage), templates])
