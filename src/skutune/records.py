"""The row types that stages exchange.

Every row has a `key`, a hash of exactly the inputs it was made from, so that a later run can reuse it. Rows written
by an LLM also have `rejected`: None, or the reason why the row is not used. Rejected rows stay in their table, so that
every reason can be looked up afterwards.

Rows are plain dataclasses without behaviour; `tables` writes them as Parquet, with the columns in field order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing numpy takes a sixth of the controller's memory limit, and it reads no tables
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
"""A unit vector, shape (dimension,), float32."""


@dataclass(frozen=True, slots=True)
class Product:
    """One product of the catalog. `id` is the user's text; `attributes` keep the user's names and order."""

    id: str
    name: str
    attributes: dict[str, str]
    key: str


@dataclass(frozen=True, slots=True)
class Reject:
    """A rejected line of the catalog file, with the reason."""

    line: int
    reason: str
    content: str


@dataclass(frozen=True, slots=True)
class Description:
    """A description of a product, 3 to 5 sentences by default."""

    product_id: str
    text: str
    finish_reason: str
    attempts: int
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A paraphrase of a description; `number` counts a product's variants from 1."""

    product_id: str
    number: int
    text: str
    finish_reason: str
    attempts: int
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Embedding:
    """The unit vector of one of a product's texts. `kind` is name, description or variant."""

    product_id: str
    kind: str
    number: int
    vector: Vector
    key: str


@dataclass(frozen=True, slots=True)
class Question:
    """A shopper's question that the product answers; `id` is `<product id>/<number>`."""

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
    """The names recommended for a question; `names[source_slot]` should refer to the question's source product."""

    question_id: str
    product_id: str
    names: list[str]
    source_slot: int
    attempts: int
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Name:
    """A distinct recommended name, bucketed by `normalised`; `text` is its most frequent spelling.

    `sources` are the ids of the products in whose source slot the name was recommended, ascending.
    """

    normalised: str
    text: str
    count: int
    sources: list[str]
    key: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """A description of the kind of product that a distinct name refers to."""

    normalised: str
    name: str
    text: str
    finish_reason: str
    attempts: int
    rejected: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product that a name may refer to; `p` is the calibrated P(acceptable), in [0, 1]."""

    id: str
    name: str
    p: float


@dataclass(frozen=True, slots=True)
class Source:
    """A source product of a name; `accepted` says whether `p` reaches the configured precision."""

    id: str
    name: str
    p: float
    accepted: bool


@dataclass(frozen=True, slots=True)
class Link:
    """The products that a distinct name refers to: candidates within the calibrated margin, best first.

    Without candidates there is no close product. `sources` are the name's source products; an accepted one may be
    recommended under this name whatever its rank.
    """

    normalised: str
    name: str
    candidates: list[Candidate]
    best_p: float
    sources: list[Source]
    key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: `paragraphs[i]` is about `names[i]`, which refers to the product with the id `products[i]`.

    An empty id means no close product. The prose contains no names or ids of catalog products.
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
    catalog ids in the completion, in order ("" for `no close product`).
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
    """How often a product occurs in training, and why not more often. `short`: less than `coverage.min_examples`."""

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
    """One system's answer to a held-out question, which was generated from the product `product_id`.

    `ids` are the referenced ids in order, with repetitions; `no_product` counts the `(no close product)` references.
    `constraints` are the question's constraints, and `broken` the ids whose products do not state them. `pairs_with` is
    the item that the question wants to pair or replace ("" for none); `repeats`: the answer recommends that very item.
    `relevant` and `irrelevant` are the distinct judged ids; an unknown id is irrelevant. `judged`: an id has a
    verdict, or the answer references none.
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
    """The product that one system named for a description; `id` and `name` are "" where it named none."""

    product_id: str
    split: str
    system: str
    text: str
    id: str
    name: str
    right: bool
