"""Engines are built from the config; their identity covers what changes their output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from skutune.config.schema import EncoderConfig, GeneratorConfig
from skutune.engines import build_encoder, build_text_engine, engine_identity
from skutune.engines.base import Request, Sampling
from skutune.engines.weights.locate import Weights
from skutune.errors import InputError

REAL = Weights(Path("/models/some"), "sha256:1")


def test_scripted_engines_need_no_model_and_no_heavy_import() -> None:
    script = (
        "import sys\nfrom skutune.config.schema import EncoderConfig, GeneratorConfig\nfrom skutune import engines\n"
        "engines.build_text_engine(GeneratorConfig(name='x', engine='scripted'), None, names=lambda: ['Tea'])\n"
        "engines.build_encoder(EncoderConfig(name='x', engine='scripted'), None)\n"
        "print(sorted({'torch', 'transformers', 'vllm', 'huggingface_hub'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_scripted_engine_takes_its_malformed_rate_from_the_config() -> None:
    config = GeneratorConfig(name="x", engine="scripted", malformed_rate=1.0)
    engine = build_text_engine(config, None, names=lambda: ["Tea"])
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}
    (result,) = engine.generate([Request("1", ({"role": "user", "content": "?"},), Sampling(90), schema)])
    assert result.finish_reason == "length"


def test_a_real_engine_without_weights_raises() -> None:
    with pytest.raises(InputError, match="needs weights"):
        build_text_engine(GeneratorConfig(name="x", engine="transformers"), None, names=list)
    with pytest.raises(InputError, match="needs weights"):
        build_encoder(EncoderConfig(name="x"), Weights(None, "scripted"))


@pytest.mark.parametrize(("engine", "extra"), [("vllm", "vllm"), ("transformers", "generate")])
def test_a_missing_package_names_the_command_that_installs_it(engine, extra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skutune.engines._is_installed", lambda module: False)
    with pytest.raises(InputError, match=rf"pip install 'skutune\[{extra}\]'"):
        build_text_engine(GeneratorConfig(name="x", engine=engine), REAL, names=list)


def test_only_the_scripted_engine_changes_the_identity() -> None:
    kinds = ("auto", "vllm", "transformers", "scripted")
    identities = [engine_identity(GeneratorConfig(name="x", engine=kind), REAL) for kind in kinds]
    assert identities[0] == identities[1] == identities[2] == REAL.identity
    assert identities[3] != identities[0]


def test_a_malformed_rate_is_part_of_the_identity() -> None:
    plain, malformed = (GeneratorConfig(name="x", engine="scripted", malformed_rate=rate) for rate in (0.0, 0.1))
    assert engine_identity(plain, None) != engine_identity(malformed, None)


def test_the_pooling_is_part_of_an_encoders_identity(tmp_path: Path) -> None:
    weights = Weights(tmp_path, "sha256:1")
    pooled = engine_identity(EncoderConfig(name="x"), weights)
    (tmp_path / "modules.json").write_text("[]")
    assert engine_identity(EncoderConfig(name="x"), weights) != pooled
    assert engine_identity(EncoderConfig(name="x", engine="mean-pooled"), weights) == pooled
