"""The values file of the image build refers to the images that the chart uses."""

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest
import yaml
from chart_rendering import ROOT, Rendered, render

from skutune.pipeline.graph import CLUSTER_STAGES

DIGESTS = {name: f"sha256:{number:064x}" for number, name in enumerate(("controller", "generate", "train"), 1)}


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("images_build", ROOT / "images" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["images_build"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def images(rendered: Rendered) -> dict[str, str]:
    """The image of each stage."""
    return {name: rendered.worker(name)["image"] for name in CLUSTER_STAGES}


def built_values(build: ModuleType, digests: dict[str, str]) -> Any:
    plan = build.Plan(registry="registry.test:5000/ml", tag="0.2.0", flavor="gpu", push=bool(digests))
    return yaml.safe_load(build.values(plan, build.IMAGES, digests))


def test_pushed_images_are_referenced_by_digest(build: ModuleType) -> None:
    for name, image in images(render(changes=built_values(build, DIGESTS))).items():
        kind = CLUSTER_STAGES[name].image
        assert image == f"registry.test:5000/ml/skutune-{kind}@{DIGESTS[kind]}"


def test_local_images_are_referenced_by_tag(build: ModuleType) -> None:
    plan = build.Plan(registry="registry.test:5000/ml", tag="0.2.0", flavor="gpu", push=False)
    for name, image in images(render(changes=built_values(build, {}))).items():
        assert image == plan.image(CLUSTER_STAGES[name].image)


def test_the_build_covers_the_images_of_all_stages(build: ModuleType) -> None:
    assert set(build.IMAGES) == {stage.image for stage in CLUSTER_STAGES.values()} == set(DIGESTS)
