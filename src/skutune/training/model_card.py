"""The model card: what a tuned model was made from, how, how well, and how it is used. It names nobody's folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined

from skutune.config.schema import FinetuneConfig
from skutune.training.metrics import FinetuneMetrics

_TEMPLATE = """\
---
base_model: {{ base }}
{% if adapter %}
base_model_relation: adapter
library_name: peft
{% else %}
base_model_relation: finetune
library_name: transformers
{% endif %}
pipeline_tag: text-generation
tags: [skutune, {{ config.method }}, product-recommendation]
---

# {{ run }}: {{ base }}, taught a product catalog

Asked what goes with a dish or suits an occasion, it answers with products of the catalog and their ids:
`(closest product: NAME: id ID)`. {{ "A LoRA adapter" if adapter else "Whole weights" }}, fine-tuned from
**{{ base }}** ({{ identity }}) by skutune {{ version }}.

## How to use it
{% if adapter %}
vLLM, beside the base model, from the folder that holds this file:

    vllm serve {{ base }} --enable-lora --max-lora-rank {{ served_rank }} --lora-modules {{ run }}=. \\
      --chat-template chat_template.jinja

and ask for the model `{{ run }}` at `/v1/chat/completions`. In Python:

    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(".")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{{ base }}"), ".")
{% else %}
vLLM, from the folder that holds this file:

    vllm serve .

In Python:

    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(".")
    model = AutoModelForCausalLM.from_pretrained(".")
{% endif %}

The tokenizer here has the chat template that it was trained with, settings too: one user message, the question, and no
system message.{% if adapter %} Use it on exactly this base: on other weights the adapter answers nonsense.{% endif %}


## Data
| | |
|---|---:|
{% for name, count in data.items() %}
| {{ name }} | {{ count | whole }} |
{% endfor %}
| trained examples | {{ figures.examples | whole }} |
| of these longer than {{ figures.plan.max_length | whole }} tokens, cut after a whole product | \
{{ figures.cut | whole }} |
| left out, without room for one | {{ figures.left_out | whole }} |
| trained tokens, all epochs | {{ figures.tokens | whole }} |

Questions, answers and descriptions were written by {{ generator }}; products come from the catalog alone, and each name
and id in an example was looked up there.

## Training
| setting | |
|---|---|
{% for name, value in settings.items() %}
| {{ name }} | {{ value }} |
{% endfor %}

| figure | |
|---|---:|
| steps | {{ figures.steps | whole }} |
| trained weights | {{ figures.trainable_parameters | whole }} |
| loss a token, first tenth → last tenth of the steps | \
{{ figures.first_loss | loss }} → {{ figures.last_loss | loss }} |
{% if figures.validation_losses %}
| loss on {{ figures.validation_examples | whole }} held-out examples, first → best | \
{{ figures.validation_losses[0] | loss }} → {{ (figures.validation_losses | min) | loss }} |
{% endif %}
| tokens a second | {{ figures.tokens_per_second | whole }} |
| devices | {{ figures.plan["processes"] }} × {{ figures.device }} |
| share of the devices' peak (model FLOPs) | \
{{ "not known" if figures.utilisation is none else "%.1f %%" | format(100 * figures.utilisation) }} |

The curves lie beside this folder: `metrics.jsonl`, and `tensorboard/`.

## Limits
- Left to itself it can write an id that does not exist, or one that belongs to another name. Ids that cannot be
  invented need constrained decoding: `skutune ask`, or skutune's logits processor for vLLM.
- It knows the catalog as it was. Products that came later, prices and stock it does not know; what is sold out is told
  to `skutune ask` with `--unavailable`.
- Its advice is an LLM's. Where health depends on it (allergies, diets, medicines), a person must check it.
- How well it answers held-out questions beside its base is in the run's report, not here.
"""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a tuned model comes from.

    `base` is a hub name, or a local folder's last part; `identity` its revision, or the digest of its files.
    `generator` is what wrote the data. `data` are counts by what they count.
    """

    run: str
    base: str
    identity: str
    generator: str
    data: dict[str, int]
    version: str


def render_card(provenance: Provenance, config: FinetuneConfig, figures: FinetuneMetrics, *, is_adapter: bool) -> str:
    """The card in Markdown, with the header that model hubs read, of an adapter or of whole weights."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters.update(whole="{:,.0f}".format, loss="{:.3f}".format)
    return environment.from_string(_TEMPLATE).render(
        run=provenance.run,
        base=provenance.base,
        identity=provenance.identity,
        generator=provenance.generator,
        data=provenance.data,
        version=provenance.version,
        adapter=is_adapter,
        served_rank=_served_rank(config.lora_rank),
        settings=_settings(config, figures),
        config=config,
        figures=figures,
    )


def _settings(config: FinetuneConfig, figures: FinetuneMetrics) -> dict[str, Any]:
    """What was set and bears on these weights."""
    unused = {"merge"} if config.trains_adapter else {"merge", "lora_rank", "lora_alpha"}
    given = config.model_dump(exclude=unused, exclude_none=True)
    return {**given, "arithmetic": figures.dtype}


def _served_rank(rank: int) -> int:
    """The smallest `--max-lora-rank` of vLLM that holds adapters of this rank."""
    return next((allowed for allowed in (1, 8, 16, 32, 64, 128, 256, 320, 512) if allowed >= rank), rank)
