"""Every example renders to valid Kubernetes objects with both helm versions."""

import subprocess

import pytest
import yaml
from chart_rendering import CHART, EXAMPLES, HELMS, Object, render, template
from kubernetes_schemas import NEWEST, OLDEST, violations


def test_the_examples_cover_each_kind_of_cluster() -> None:
    assert set(EXAMPLES) == {"8-gpus-one-node", "8-gpus-nodes", "kind-cpu", "spot", "kueue", "air-gapped"}


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_passes_the_linter(example: str, helm: str) -> None:
    command = [str(HELMS[helm]()), "lint", "--strict", str(CHART), "-f", str(EXAMPLES[example])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_valid_for_the_oldest_and_newest_kubernetes(example: str, version: str) -> None:
    rendered = render(example)
    assert len(rendered) > 20
    assert [each for item in rendered for each in violations(item, version)] == []


def test_an_unknown_field_is_a_violation() -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {"tempalte": {}}}
    assert "tempalte" in " ".join(violations(job, NEWEST))


@pytest.mark.parametrize("example", EXAMPLES)
def test_both_helm_versions_render_the_same(example: str) -> None:
    assert parsed(example, "helm 3") == parsed(example, "helm 4")


def parsed(example: str, helm: str) -> list[Object]:
    """The objects in a fixed order, with the ConfigMap's file parsed, since helm versions quote differently."""
    rendered = render(example, helm=helm)
    data = rendered.one("ConfigMap", "-config")["data"]
    data["controller.yaml"] = yaml.safe_load(data["controller.yaml"])
    return sorted(rendered, key=lambda item: (item["kind"], item["metadata"]["name"]))


@pytest.mark.parametrize("example", EXAMPLES)
def test_lists_have_unique_names(example: str) -> None:
    """Server-side apply, which Helm 4 uses, rejects lists with duplicate names."""
    for name, pod in render(example).pods():
        spec = pod["spec"]
        lists = [spec["volumes"], *([c["env"] for c in spec["containers"]])]
        mounts = [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]]
        for names in (*([entry["name"] for entry in entries] for entries in lists), mounts):
            assert len(names) == len(set(names)), name
        assert {m["name"] for m in spec["containers"][0]["volumeMounts"]} <= {v["name"] for v in spec["volumes"]}


def test_the_templates_use_no_lookups_or_random_values() -> None:
    """Rendering without a cluster, as Argo CD does, always gives the objects that helm installs."""
    sources = [path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file()]
    for function in ("lookup", "randAlpha", "uuidv4", "genCA", "now"):
        assert not any(f" {function} " in source or f"({function} " in source for source in sources)
    assert template("spot") == template("spot", {})
