"""The finetune stage puts a model into the store that others can use, and tells how fast it trains."""

import json
from pathlib import Path

import pytest
from conftest import save_base
from llama2 import llama2_tokenizer
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from skutune.config.load import parse_config
from skutune.config.schema import FinetuneConfig
from skutune.engines.pool import ModelPool
from skutune.errors import InputError
from skutune.pipeline import manifests, submit
from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import Manifest
from skutune.pipeline.stage_folder import StageFolder
from skutune.pipeline.stage_io import Outputs
from skutune.prompts.chat_template import DEFAULT_TEMPLATE, with_settings
from skutune.store import open_store
from skutune.training import metrics
from skutune.training.examples import load_examples
from skutune.training.flops import training_flops
from skutune.training.sft import finetune
from skutune.training.tokens import load_tokenizer
from skutune.worker.run_shard import open_task, run_shard

STAGE = STAGES["finetune"]
SETTINGS = {"learning_rate": 0.02, "batch_size": 4, "micro_batch_size": 4, "max_length": 128, "merge": True}


@pytest.fixture
def tuned(base, chat_file, pairs, tmp_path):
    """Runs the stage; gives its manifest, its folder and what it said while it went on."""

    def run(examples=pairs, **settings):
        store, seen = open_store(str(tmp_path / "store")), []
        model = {"name": str(base)}
        config = parse_config(
            {
                "run": "fall-catalog",
                "catalog": {"source": "products.csv", "buckets": 2},
                "models": {"generator": model, "encoder": model, "base": {**model, "dtype": "float32"}},
                "stages": {"finetune": {**SETTINGS, **settings}},
            },
            "a test",
        )
        outputs = Outputs(store, "fall-catalog/compose/f")
        outputs.file("train.jsonl", chat_file(examples))
        outputs.file("validation.jsonl", chat_file(examples[:4], "validation.jsonl"))
        made = {"products": 321, "held_out_products": 12, "examples": {"train/answer": 4567}}
        compose = Manifest("compose", "f", 2, tuple(outputs.entries), figures=made)
        manifests.write_manifest(store, "fall-catalog/compose/f", compose)
        pool = ModelPool(config.models, tmp_path / "cache")
        info = submit.open_run(store, config, None)
        draft = submit.plan_task(config, info, STAGE, {"compose": compose}, {"base": pool.identity("base")}, "")
        task = submit.next_attempt(StageFolder.read(store, draft.folder), info, STAGE, draft, [0], 1)
        manifests.write_task(store, task)
        run_shard(open_task(f"{store.uri}/{task.key}"), 0, pool, seen.append, progress_seconds=0.0)
        return (
            submit.merge_attempts(StageFolder.read(store, task.folder), STAGE, None),
            tmp_path / "store" / task.folder,
            seen,
        )

    return run


def test_adapter_card_curves_and_merged_weights_lie_in_the_store(tuned, base):
    manifest, folder, seen = tuned()
    names = {entry.table for entry in manifest.entries}
    assert {"adapter/adapter_model.safetensors", "adapter/base.json", "adapter/README.md", "metrics.jsonl"} <= names
    assert {"merged/model.safetensors", "merged/README.md", "tensorboard/events.out.tfevents.0.skutune"} <= names
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder / "adapter")
    AutoModelForCausalLM.from_pretrained(folder / "merged")
    assert any(progress.tokens_per_second > 0 for progress in seen)
    assert manifest.tokens_per_second == manifest.figures["tokens_per_second"] > 0
    assert (manifest.figures["device"], manifest.figures["utilisation"]) == ("cpu", None)

    card = (folder / "adapter" / "README.md").read_text()
    assert "| examples, train, answer | 4,567 |" in card
    assert "base_model: tiny\n" in card
    written = [folder / name for name in names if Path(name).suffix in (".md", ".json", ".jsonl", ".jinja")]
    assert written
    assert [path.name for path in written if str(base.parent) in path.read_text()] == ["adapter_config.json"]
    assert AutoPeftModelForCausalLM.from_pretrained(folder / "adapter").peft_config, "PEFT finds the base by itself"


def test_whole_weights_get_a_card_of_their_own_and_nothing_is_merged(tuned):
    manifest, folder, _ = tuned(method="full", merge=False)
    names = {entry.table for entry in manifest.entries}
    assert "model/model.safetensors" in names
    assert "lora" not in (folder / "model" / "README.md").read_text().lower()
    assert not [name for name in names if name.startswith(("merged", "adapter"))]


def test_a_length_beyond_the_models_context_is_that_of_the_context_and_it_is_said(tuned, caplog):
    manifest, _, _ = tuned(max_length=1 << 20, merge=False)
    assert manifest.figures["plan"]["max_length"] == 1024
    assert "1048576 exceeds the base model's context of 1024 tokens" in caplog.text


def test_a_llama_2_without_template_and_pad_token_is_trained_and_its_adapter_brings_both(chat_file, pairs, tmp_path):
    tokenizer = llama2_tokenizer()
    base = save_base(tmp_path / "llama2", vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2)
    tokenizer.save_pretrained(base)
    (base / "chat_template.jinja").unlink(missing_ok=True)
    assert load_tokenizer(base).chat_template == DEFAULT_TEMPLATE
    settings = FinetuneConfig(**{**SETTINGS, "max_length": 256, "merge": False})
    found = finetune(
        base, chat_file(pairs), None, settings, tmp_path / "out",
        base_name="llama2", dtype="float32", resume=None, on_step=lambda point: None,
    )  # fmt: skip
    assert found.last_loss < found.first_loss
    saved = AutoTokenizer.from_pretrained(tmp_path / "out" / "adapter")
    assert (saved.chat_template, saved.pad_token) == (with_settings(DEFAULT_TEMPLATE), "</s>")


def test_on_a_known_device_the_share_of_its_peak_is_told(base, chat_file, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "device_name", lambda: "NVIDIA A100-SXM4-80GB")
    settings = FinetuneConfig(**{**SETTINGS, "merge": False, "epochs": 2})
    found = finetune(
        base, chat_file(pairs), None, settings, tmp_path / "out",
        base_name="tiny", dtype="bfloat16", resume=None, on_step=lambda point: None,
    )  # fmt: skip
    examples = load_examples(tmp_path / "train.jsonl", load_tokenizer(base), 128, tmp_path / "cache")
    needed = training_flops(AutoConfig.from_pretrained(base), settings.lora_rank).of(examples.lengths, examples.taught)
    assert found.utilisation == pytest.approx(2 * needed / found.seconds / 312e12)


def test_merging_whole_weights_is_refused_before_anything_runs(tuned):
    with pytest.raises(InputError, match="no adapter to merge"):
        tuned(method="full")


def test_a_single_example_is_trained_and_none_is_the_users_error(tuned, pairs):
    manifest, _, _ = tuned(pairs[:1], merge=False)
    assert manifest.figures["examples"] == 1
    with pytest.raises(InputError, match="has no examples"):
        tuned([], merge=False)


def test_the_curves_in_the_store_are_whole(tuned):
    manifest, folder, _ = tuned(merge=False)
    points = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [point["step"] for point in points if point["loss"] is not None] == list(
        range(1, manifest.figures["steps"] + 1)
    )
