"""Chat models are checked before weights are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import S3Server

from skutune.config.schema import BaseModelConfig, EncoderConfig, GeneratorConfig, ModelsConfig
from skutune.engines.pool import ModelPool
from skutune.errors import InputError
from skutune.store import open_store
from tests.chat_families import FAMILIES

SCRIPTED = EncoderConfig(name="none", engine="scripted")


def pool(cache: Path, base: str, generator: str = "none") -> ModelPool:
    engine = "scripted" if generator == "none" else "transformers"
    config = ModelsConfig(
        generator=GeneratorConfig(name=generator, engine=engine), encoder=SCRIPTED, base=BaseModelConfig(name=base)
    )
    return ModelPool(config, cache)


def test_a_generator_needs_a_chat_template_and_a_base_model_does_not(tmp_path: Path) -> None:
    plain = FAMILIES["GPT-2"].save(tmp_path / "plain")
    pool(tmp_path, str(plain)).check_chat_models()
    with pytest.raises(InputError, match="has no chat template"):
        pool(tmp_path, "none", str(plain)).check_chat_models()
    pool(tmp_path, "none", str(plain)).check_chat_models(["encoder", "base"])


def test_a_base_model_with_too_few_embeddings_is_refused(tmp_path: Path) -> None:
    small = FAMILIES["Qwen 3"].save(tmp_path / "small", vocab_size=260)
    with pytest.raises(InputError, match="has 261 tokens, but the model has embeddings for 260"):
        pool(tmp_path, str(small)).check_chat_models()


def test_the_base_model_is_checked_before_the_generator_is_loaded(tmp_path: Path) -> None:
    good = FAMILIES["Qwen 3"].save(tmp_path / "good")
    small = FAMILIES["Qwen 3"].save(tmp_path / "small", vocab_size=260)
    with pytest.raises(InputError, match="embeddings for 260"):
        pool(tmp_path, str(small), str(good)).text_engine(list)


def test_of_a_model_in_a_store_only_small_files_are_read_for_the_check(
    tmp_path: Path, seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    seaweedfs.set_environment(monkeypatch)
    uri = f"s3://{seaweedfs.bucket}/{tmp_path.name}/model"
    store = open_store(uri)
    for path in FAMILIES["Gemma"].save(tmp_path / "model").iterdir():
        store.put(path.name, path.read_bytes())
    models = pool(tmp_path / "cache", uri)
    models.check_chat_models()
    downloaded = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert "tokenizer.json" in downloaded
    assert not any(name.endswith(".safetensors") for name in downloaded)
