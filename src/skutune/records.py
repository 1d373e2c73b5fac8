"""The rows that stages exchange.

Every row carries `key`, a hash of exactly what it was made from, so that a later run reuses it instead of making it
again, and, where an LLM made it, `rejected`: None, or the reason why it is not used. A rejected row stays in its table:
no row disappears without a reason that can be read afterwards.

Rows are plain dataclasses without behaviour; `tables` writes them as Parquet with the columns in this order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy is a sixth of what a controller may take, and it reads no table
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
"""A unit vector, shape (dimension,), float32."""


@dataclass(frozen=True, slots=True)
class Product:
    """One product of the catalog. `id` is text as the user wrote it; `attributes` keep the user's names and order."""

    id: str
    name: str
    attributes: dict[str, str]
    key: str


@dataclass(frozen=True, slots=True)
class Reject:
    """A line of the catalog file that is no product, and why."""

    line: int
    reason: str
    content: str


@dataclass(frozen=True, slots=True)
class Description:
    """What a product is, in 3 to 5 sentences."""

    product_id: str
    text: str
    finish_reason: str
    attempts: int
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A description in other words; `number` counts a product's variants from 1."""

    product_id: str
    number: int
    text: str
    finish_reason: str
    attempts: int
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Embedding:
    """The unit vector of one text of a product. `kind` is name, description or variant."""

    product_id: str
    kind: str
    number: int
    vector: Vector
    key: str


@dataclass(frozen=True, slots=True)
class Question:
    """A shopper's question to which the product is a fair answer; `id` is `<product id>/<number>`."""

    id: str
    product_id: str
    number: int
    intent: str
    text: str
    attempts: int
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The names that answer a question; `names[source_slot]` is meant to be the question's own product."""

    question_id: str
    product_id: str
    names: list[str]
    source_slot: int
    attempts: int
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Name:
    """A distinct recommended name. `normalised` is what it is bucketed by, `text` the form seen most often.

    `sources` are the ids of the products that it was written for, ascending; none where it was only named beside them.
    """

    normalised: str
    text: str
    count: int
    sources: list[str]
    key: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """A description of the kind of product that a distinct name stands for."""

    normalised: str
    name: str
    text: str
    finish_reason: str
    attempts: int
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product that a name may stand for; `p` is the calibrated P(acceptable) in [0, 1]."""

    id: str
    name: str
    p: float


@dataclass(frozen=True, slots=True)
class Source:
    """A product that a name was written for; `accepted` says that `p` reaches the wanted precision."""

    id: str
    name: str
    p: float
    accepted: bool


@dataclass(frozen=True, slots=True)
class Link:
    """What a distinct name stands for: candidates within the calibrated margin, best first; none: no close product.

    `sources` are the products that the name was written for. They may be called so wherever they rank, if accepted.
    """

    normalised: str
    name: str
    candidates: list[Candidate]
    best_p: float
    sources: list[Source]
    key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: `paragraphs[i]` is about `names[i]`, which stands for the product with the id `products[i]`.

    "" stands for no close product. The prose itself holds no names and ids of the catalog.
    """

    question_id: str
    product_id: str
    names: list[str]
    products: list[str]
    introduction: str
    paragraphs: list[str]
    conclusion: str
    attempts: int
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Example:
    """One training or validation example in the chat format.

    `kind` is answer or description. `split` is train, held_out_product or held_out_question. `references` are the
    catalog ids in the completion, in their order ("" for `no close product`).
    """

    id: str
    kind: str
    split: str
    product_id: str
    question_id: str
    prompt: str
    completion: str
    references: list[str]
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often a product is trained, and why not oftener. `short` says that it misses the wanted minimum."""

    product_id: str
    name: str
    questions: int
    examples: int
    references: int
    held_out: bool
    short: bool
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvaluatedAnswer:
    """One held-out question, made from the product `product_id`, with one system's answer.

    `ids` are those that the answer references, in order, repeats too; `no_product` counts its `(no close product)`.
    `constraints` are what the question asks for and `broken` the ids whose products do not state them; `pairs_with`
    is the thing that it wants to pair or replace ("" for none), and `repeats` says that the answer recommends that.
    `relevant` and `irrelevant` are distinct ids as they were judged, an id that no product has among the latter;
    `judged` says that there is a verdict, or nothing to give one on.
    """

    question_id: str
    product_id: str
    split: str
    system: str
    question: str
    expected: str
    answer: str
    parses: bool
    ids: list[str]
    no_product: int
    ids_in_catalog: int
    names_agree: int
    names_source: bool
    constraints: list[str]
    broken: list[str]
    pairs_with: str
    repeats: bool
    relevant: list[str]
    irrelevant: list[str]
    judged: bool
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RecallResult:
    """One description with the product that one system says it is of; `id` and `name` are "" where it names none."""

    product_id: str
    split: str
    system: str
    text: str
    id: str
    name: str
    right: bool
