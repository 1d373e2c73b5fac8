"""The READMEs refer to files and targets that exist, and stay short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from skutune.pipeline.graph import STAGES

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PACKAGE_READMES = sorted(ROOT.glob("src/skutune/*/README.md"))
LINKED_READMES = [README, *PACKAGE_READMES, ROOT / "helm" / "skutune" / "README.md", ROOT / "k8s" / "README.md"]


def _name(readme: Path) -> str:
    return readme.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("readme", LINKED_READMES, ids=_name)
def test_relative_links_lead_to_files(readme: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", readme.read_text(encoding="utf-8"))
    relative = [link for link in links if "://" not in link]
    assert relative
    missing = [link for link in relative if not (readme.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("readme", PACKAGE_READMES, ids=_name)
def test_package_readmes_lead_into_the_code_and_are_linked_from_the_root(readme: Path) -> None:
    assert f"({_name(readme)})" in README.read_text(encoding="utf-8")
    _, _, dive = readme.read_text(encoding="utf-8").partition("\n## Dive into the code\n")
    assert dive
    assert "\n## " not in dive


def test_the_root_readme_is_short() -> None:
    text = re.sub(r"^```.*?^```$", "", README.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert len(text.split()) <= 900


def test_the_diagram_shows_every_stage() -> None:
    (diagram,) = re.findall(r"^```mermaid\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert set(STAGES) <= set(re.findall(r"\w+", diagram))
