"""The schema of the config: one YAML file, parsed once.

Unknown keys are errors, and all problems are reported together with their paths. The fingerprint of a stage covers the
sections that the stage depends on, so every setting belongs in the section of the stage whose output it changes.
"""

from __future__ import annotations

import codecs
import math
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

RUN_NAME = r"^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$"


class Section(BaseModel):
    """A section of the config: immutable, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any) -> Any:
        return {} if value is None else value  # an empty section such as `coverage:`


class Columns(Section):
    """Column mapping of the catalog file."""

    id: str = Field("id", min_length=1, description="Column of the product id: any text without white space.")
    name: str = Field(
        "name",
        min_length=1,
        description='Column of the product name, or a template over columns: "{brand} {type} {size}".',
    )
    attributes: tuple[str, ...] | None = Field(
        None, description="Columns that describe a product. Default: all columns not used by id and name."
    )

    @field_validator("name")
    @classmethod
    def _template_parses(cls, name: str) -> str:
        parse_name_template(name)
        return name

    @property
    def name_fields(self) -> tuple[str, ...]:
        """The columns of the name: one, or those of the template."""
        fields = tuple(field for _, field in parse_name_template(self.name) if field is not None)
        return fields or (self.name,)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that a catalog must have, without duplicates."""
        return tuple(dict.fromkeys((self.id, *self.name_fields, *(self.attributes or ()))))


_TEMPLATE_PART = re.compile(r"((?:[^{}]|\{\{|\}\})*)(?:\{([^{}]*)\})?")


def parse_name_template(template: str) -> list[tuple[str, str | None]]:
    """Split a name template into literals, each with the column that follows it or None; doubled braces are literal.

    Column names are taken verbatim, including colons and blanks.

    Raises:
        ValueError: an unmatched brace, or braces without a column.
    """
    parts, position = [], 0
    while position < len(template):
        match = _TEMPLATE_PART.match(template, position)
        if match is None or match.end() == position:
            raise ValueError("not a template: unmatched brace; double a brace that is part of the name")
        literal, column = match.groups()
        if column is not None and not column.strip():
            raise ValueError("empty braces; put a column name between them: {brand}")
        parts.append((literal.replace("{{", "{").replace("}}", "}"), column))
        position = match.end()
    return parts


class CatalogConfig(Section):
    """The source of the products."""

    source: str = Field(description="csv, tsv, jsonl or parquet file: a local path or s3://bucket/key.")
    columns: Columns = Columns()
    buckets: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Parts of every table; fixed when a run first ingests. Default: square root of the products.",
    )
    max_rejects: int | float = Field(
        0,
        ge=0,
        description="Maximum number of rejected rows, or their share if below 1 (0.01); with more the run fails.",
    )
    delimiter: str = Field(
        "auto", description='Delimiter of a text table: one character, or auto ("," ";" "|" and tab are detected).'
    )
    encoding: str = Field("auto", description="Encoding of a text file, such as cp1252; auto: UTF-8, else detected.")
    quoting: Literal["auto", "standard", "none"] = Field(
        "auto",
        description="Quotes of a text table. standard: RFC 4180. none: quotes are literal. auto: standard, except "
        "for rows that violate it.",
    )
    inherit: str = Field(
        "auto",
        min_length=1,
        description="Column with the same value in all rows of a product's variants, whose empty cells inherit from "
        "the first row. auto: detected. none: no inheritance.",
    )
    duplicates: Literal["reject", "merge"] = Field(
        "reject",
        description="Rows that repeat an id. reject: an error. merge: one product, whose attributes list all values.",
    )
    markup: Literal["remove", "keep"] = Field(
        "remove", description="HTML, links, placeholders (NULL) and nested JSON in cells. remove: only text is kept."
    )
    attribute_characters: int = Field(
        1000,
        ge=20,
        description="Maximum length of an attribute in characters; longer ones are truncated after a sentence.",
    )

    @field_validator("delimiter")
    @classmethod
    def _delimiter_is_a_character(cls, delimiter: str) -> str:
        if delimiter != "auto" and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise ValueError('must be auto or one character; write a tab as "\\t"')
        return delimiter

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str) -> str:
        if encoding != "auto":
            try:
                codecs.lookup(encoding)
            except LookupError:
                raise ValueError("unknown encoding; use a name that Python knows, such as utf-8 or cp1252") from None
        return encoding

    def allowed_rejects(self, rows: int) -> int:
        """The maximum number of rejected rows among `rows`."""
        return math.floor(self.max_rejects * rows) if self.max_rejects < 1 else math.floor(self.max_rejects)


class ModelConfig(Section):
    """A model: a hub name, a local folder or an s3:// prefix."""

    name: str = Field(min_length=1, description="Hub name, local folder or s3:// prefix.")
    revision: str | None = Field(
        None, description="Commit of a hub model. Pin it: the hub's default branch can change."
    )


class GeneratorConfig(ModelConfig):
    """The LLM that generates the training data."""

    engine: Literal["auto", "vllm", "transformers", "scripted"] = Field(
        "auto", description="auto: vllm if installed, else transformers. scripted: no model, for dry runs."
    )
    batch_size: int = Field(64, ge=1, le=4096, description="Maximum number of concurrent sequences.")
    context: int = Field(2048, ge=256, description="Maximum length of prompt and completion together, in tokens.")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="auto: bfloat16, or float32 on a CPU where bfloat16 is slower."
    )
    malformed_rate: float = Field(0.0, ge=0, le=1, description="scripted only: share of malformed answers.")


class EncoderConfig(ModelConfig):
    """The model that embeds texts."""

    engine: Literal["auto", "sentence", "mean-pooled", "scripted"] = Field(
        "auto",
        description="auto: sentence if the folder is a sentence encoder, else mean-pooled hidden states of an LLM.",
    )
    batch_size: int = Field(64, ge=1, le=4096)
    max_tokens: int = Field(256, ge=8, description="Maximum length of a text in tokens; longer texts are truncated.")


class BaseModelConfig(ModelConfig):
    """The model that is fine-tuned."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="auto: bfloat16, or float32 on a CPU where bfloat16 is slower."
    )


class ModelsConfig(Section):
    """The models of a run."""

    generator: GeneratorConfig
    encoder: EncoderConfig
    base: BaseModelConfig
    judge: GeneratorConfig | None = Field(
        None, description="A separate LLM that judges answers; used if stages.evaluate.judge.model is judge."
    )


class SamplingConfig(Section):
    """Sampling parameters."""

    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)
    max_tokens: int = Field(160, ge=8, le=4096)


class GenerationConfig(Section):
    """Settings of every stage that uses an LLM."""

    sampling: SamplingConfig = SamplingConfig()
    attempts: int = Field(3, ge=1, le=10, description="Maximum number of attempts before an item is rejected.")
    min_kept: float = Field(
        0.5, ge=0, le=1, description="Minimum share of rows that are not rejected; below it the run fails."
    )


class DescribeConfig(GenerationConfig):
    """One description per product."""

    method: Literal["llm", "template"] = Field("llm", description="template: from the attributes, without an LLM.")
    min_sentences: int = Field(
        3, ge=1, description="Minimum number of complete sentences; descriptions with fewer are rejected."
    )
    max_sentences: int = Field(5, ge=1, description="Maximum number of sentences; further ones are removed.")

    @model_validator(mode="after")
    def _ordered(self) -> DescribeConfig:
        if self.min_sentences > self.max_sentences:
            raise ValueError(f"min_sentences {self.min_sentences} is above max_sentences {self.max_sentences}")
        return self


class ParaphraseConfig(GenerationConfig):
    """Variants of a description."""

    variants: int = Field(5, ge=0, le=50)
    sampling: SamplingConfig = SamplingConfig(temperature=0.9)


class EmbedConfig(Section):
    """Vectors of names, descriptions and variants."""


class ClassifyConfig(Section):
    """The classifier over products, and the calibration of P(acceptable)."""

    epochs: int = Field(20, ge=0, le=1000, description="Maximum number of epochs for the projection; 0: none.")
    learning_rate: float = Field(1e-4, gt=0, le=1)
    batch_size: int = Field(1024, ge=2)
    seed: int = 0


Intent = Literal["pairing", "meal", "diet", "occasion", "substitute"]


class QuestionConfig(GenerationConfig):
    """Shoppers' questions."""

    per_product: int = Field(12, ge=1, le=100)
    intents: tuple[Intent, ...] = Field(("pairing", "meal", "diet", "occasion", "substitute"), min_length=1)
    sampling: SamplingConfig = SamplingConfig(temperature=0.9, max_tokens=512)


class RecommendConfig(GenerationConfig):
    """Recommendations for a question."""

    min_items: int = Field(2, ge=1, le=5)
    max_items: int = Field(3, ge=1, le=5)
    sampling: SamplingConfig = SamplingConfig(max_tokens=96)

    @model_validator(mode="after")
    def _ordered(self) -> RecommendConfig:
        if self.min_items > self.max_items:
            raise ValueError(f"min_items {self.min_items} is above max_items {self.max_items}")
        return self


class ExpandConfig(GenerationConfig):
    """A description for each distinct recommended name."""

    sampling: SamplingConfig = SamplingConfig(max_tokens=96)


class LinkConfig(Section):
    """Linking names to the closest products, or to none."""

    precision: float = Field(
        0.9, gt=0, lt=1, description="Target precision: share of acceptable products among the linked ones."
    )
    candidates: int = Field(
        10,
        ge=1,
        le=100,
        description="Maximum number of near-ties kept per name; products with the same name count once.",
    )


class AnswerConfig(GenerationConfig):
    """The prose of an answer."""

    unlinked_share: float = Field(
        0.1, ge=0, le=1, description="Share of the names without a close product that are kept as `(no close product)`."
    )
    sampling: SamplingConfig = SamplingConfig(max_tokens=512)


class ComposeConfig(Section):
    """Training and validation examples."""

    hold_out_products: float = Field(0.05, ge=0, le=0.5, description="Share of products that are held out of training.")
    hold_out_questions: float = Field(
        0.05, ge=0, le=0.5, description="Share of the other products' questions that are held out of training."
    )
    description_examples: bool = Field(True, description="Also train on description → NAME: id ID.")


class CoverageConfig(Section):
    """Minimum number of training examples per product."""

    min_examples: int = Field(
        10, ge=0, description="Minimum number of training questions per product; products below it are listed."
    )


class FinetuneConfig(Section):
    """Fine-tuning of the base model."""

    method: Literal["lora", "full", "qlora"] = Field(
        "lora",
        description="lora: an adapter. full: all weights. qlora: an adapter on 4-bit weights; needs a CUDA device "
        "and bitsandbytes.",
    )
    epochs: float = Field(1.0, gt=0, le=100)
    learning_rate: float = Field(2e-4, gt=0, le=1)
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="Learning-rate schedule after the warm-up."
    )
    warmup_ratio: float = Field(0.03, ge=0, le=1, description="Share of the steps in the linear warm-up.")
    lora_rank: int = Field(16, ge=1, le=1024)
    lora_alpha: int = Field(32, ge=1)
    batch_size: int = Field(
        8,
        ge=1,
        description="Examples per optimizer step over all devices. 8 suits small catalogs; use 64 to "
        "128 on eight GPUs.",
    )
    micro_batch_size: int = Field(
        8, ge=1, description="Maximum number of examples per device and forward pass; halved when memory runs out."
    )
    max_length: int = Field(
        1024,
        ge=64,
        description="Maximum length of an example in tokens, limited by the model's context; longer ones are truncated "
        "after a complete reference or dropped, and counted.",
    )
    packing: bool = Field(
        True,
        description="Pack several examples into a row, without cross-attention, if flash attention is installed.",
    )
    reference_weight: float = Field(
        1.0, gt=0, le=100, description="Loss weight of the tokens of product references; prose has weight 1."
    )
    evaluate_steps: int | None = Field(
        None, ge=1, description="Optimizer steps between validations. Default: one validation per epoch."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Early stopping: number of validations without a lower loss; the best weights are kept. Default: "
        "train to the end and keep the last weights.",
    )
    save_steps: int = Field(200, ge=1, description="Optimizer steps between checkpoints.")
    seed: int = 0
    merge: bool = Field(False, description="Also write merged weights, for servers that cannot load adapters.")

    @model_validator(mode="after")
    def _merge_requires_adapter(self) -> FinetuneConfig:
        if self.merge and not self.trains_adapter:
            raise ValueError("merge: the method full trains all weights, so there is no adapter to merge")
        return self

    @property
    def trains_adapter(self) -> bool:
        """Whether the result is an adapter rather than a full model."""
        return self.method != "full"


System = Literal["base", "base-constrained", "base-linked", "tuned", "tuned-constrained", "tuned-linked", "retrieval"]
"""A system to evaluate: a model without constraints, constrained to the catalog or with linked names; or retrieval."""
SYSTEMS: tuple[System, ...] = get_args(System)


class JudgeConfig(Section):
    """The judge of whether a recommended product is relevant to the question."""

    model: Literal["generator", "judge", "none"] = Field(
        "generator", description="generator: models.generator. judge: models.judge. none: relevance is not measured."
    )
    labels: str | None = Field(
        None,
        description="JSONL file (local or s3://bucket/key) of human verdicts to compare the judge with: "
        "question, product (its name), verdict (yes or no).",
    )


class EvaluateConfig(Section):
    """Evaluation of several systems on held-out questions."""

    systems: tuple[System, ...] = Field(SYSTEMS, min_length=1, description="The systems to compare.")
    questions: int = Field(200, ge=1, description="Maximum number of held-out questions.")
    max_tokens: int = Field(
        384, ge=48, description="Maximum length of an answer in tokens; the shortest answers need 33."
    )
    batch_size: int = Field(16, ge=1, le=4096, description="Questions per batch.")
    retrieval: Literal["bm25", "encoder"] = Field(
        "bm25", description="Search of the system retrieval: BM25 over words, or the encoder's embeddings of names."
    )
    recall: int = Field(
        100, ge=0, description="Number of descriptions to identify, of trained and of held-out products each."
    )
    judge: JudgeConfig = JudgeConfig()

    @field_validator("systems")
    @classmethod
    def _deduplicate(cls, systems: tuple[System, ...]) -> tuple[System, ...]:
        return tuple(dict.fromkeys(systems))


class IngestConfig(Section):
    """Reading the catalog; its settings are in the section `catalog`."""


class DistinctConfig(Section):
    """The distinct recommended names."""


class ReportConfig(Section):
    """The report."""

    samples: int = Field(8, ge=1, le=100, description="Number of answers shown.")


class StagesConfig(Section):
    """The settings of each stage."""

    ingest: IngestConfig = IngestConfig()
    describe: DescribeConfig = DescribeConfig()
    paraphrase: ParaphraseConfig = ParaphraseConfig()
    embed: EmbedConfig = EmbedConfig()
    classify: ClassifyConfig = ClassifyConfig()
    question: QuestionConfig = QuestionConfig()
    recommend: RecommendConfig = RecommendConfig()
    distinct: DistinctConfig = DistinctConfig()
    expand: ExpandConfig = ExpandConfig()
    link: LinkConfig = LinkConfig()
    answer: AnswerConfig = AnswerConfig()
    compose: ComposeConfig = ComposeConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    report: ReportConfig = ReportConfig()


class Config(Section):
    """A run: catalog, models, stages and store."""

    run: Annotated[str, Field(pattern=RUN_NAME, description="Name of the run and of its folder in the store.")]
    store: str = Field("./runs", min_length=1, description="Local folder or s3://bucket/prefix.")
    catalog: CatalogConfig
    models: ModelsConfig
    coverage: CoverageConfig = CoverageConfig()
    stages: StagesConfig = StagesConfig()

    @model_validator(mode="after")
    def _judge_is_configured(self) -> Config:
        if self.stages.evaluate.judge.model == "judge" and self.models.judge is None:
            raise ValueError("stages.evaluate.judge.model is judge, but models.judge is not set")
        return self
