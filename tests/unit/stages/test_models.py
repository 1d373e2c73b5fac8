"""The weights of hub models are copied into the store once, and are the same models there as on the hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_hub import COMMIT, Hub, serving
from servers import S3Server

from skutune.config.load import parse_config
from skutune.config.schema import Config
from skutune.pipeline import manifests, submit
from skutune.pipeline.graph import MODELS
from skutune.pipeline.manifests import Task
from skutune.pipeline.stage_folder import StageFolder
from skutune.store import ObjectStore, open_store

ELSEWHERE = ("original/consolidated.safetensors",)
FILES = {
    "config.json": b"{}",
    "model.safetensors": bytes(3 << 20),
    "modules.json": b"[]",
    "tokenizer.json": b'{"tokens": []}',
    "1_Pooling/config.json": b"{}",
    "README.md": b"# not read",
    "original/consolidated.safetensors": bytes(1 << 20),
}
COPIED = {name: len(data) for name, data in FILES.items() if name not in ("README.md", *ELSEWHERE)}
# As in the image of this stage: neither torch nor transformers can be imported.
WORKER = (
    "import sys; sys.modules.update(torch=None, transformers=None); from skutune.cli import main; main(sys.argv[1:])"
)
IDENTITIES = """
import json, sys
from pathlib import Path
from skutune.config.load import parse_config
from skutune.engines.pool import ModelPool

pool = ModelPool(parse_config(json.loads(sys.argv[1]), "a test").models, Path(sys.argv[2]))
print(json.dumps({role: pool.identity(role) for role in ("generator", "encoder", "base")}))
"""


class Cluster:
    """A hub, a store and the models stage in processes of its own."""

    def __init__(self, hub: Hub, endpoint: str, store: ObjectStore, folder: Path) -> None:
        self.hub, self.store, self.folder = hub, store, folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        self.environment = {**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1"}

    def config(self, run: str = "sample", **generator: Any) -> Config:
        model = {"name": "owner/model", "revision": COMMIT}
        models = {"generator": {**model, **generator}, "encoder": model, "base": model}
        catalog = {"source": "products.csv", "buckets": 4}
        return parse_config({"run": run, "store": self.store.uri, "catalog": catalog, "models": models}, "a test")

    def task(self, config: Config, roles: Collection[str] = ("generator", "encoder", "base")) -> Task:
        info = submit.open_run(self.store, config, None)
        source = submit.models_source(config)
        draft = submit.plan_task(config, info, MODELS, {}, dict.fromkeys(roles, ""), source)
        task = submit.next_attempt(StageFolder.read(self.store, draft.folder), info, MODELS, draft, [0], 1)
        manifests.write_task(self.store, task)
        return task

    def start(self, task: Task) -> subprocess.Popen[str]:
        arguments = ["--cache", str(self.folder / "cache"), "worker", "--task", f"{self.store.uri}/{task.key}"]
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments, "--shard", "0"],
            stderr=subprocess.PIPE, text=True, env=self.environment,
        )  # fmt: skip

    def work(self, task: Task) -> tuple[int, str]:
        with closing_process(self.start(task)) as process:
            _, stderr = process.communicate(timeout=60)
        return process.returncode, stderr

    def identities(self, config: Config) -> dict[str, str]:
        """What a process computes that has this config, be it on a laptop or in a pod."""
        command = [sys.executable, "-c", IDENTITIES, config.model_dump_json(), str(self.folder / "cache")]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=120)
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found


class closing_process(closing[subprocess.Popen[str]]):  # noqa: N801 - used like a function
    """A process that does not outlive the test."""

    def __exit__(self, *_: object) -> None:
        self.thing.kill()
        self.thing.wait()


@pytest.fixture
def cluster(seaweedfs: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    seaweedfs.set_environment(monkeypatch)
    hub = Hub(dict(FILES))
    with serving(hub) as endpoint:
        yield Cluster(hub, endpoint, open_store(f"s3://{seaweedfs.bucket}/{tmp_path.name}"), tmp_path)
        for event in hub.held.values():
            event.set()


def test_a_model_is_copied_once_and_only_what_is_read(cluster: Cluster) -> None:
    task = cluster.task(cluster.config())
    code, stderr = cluster.work(task)
    assert code == 0, stderr
    prefix = f"models/owner--model/{COMMIT}/"
    there = {info.key.removeprefix(prefix): info.size for info in cluster.store.list(prefix)}
    assert there.pop("skutune-model.json")
    assert there == COPIED
    assert sorted(cluster.hub.sent.count(name) for name in COPIED) == [1] * len(COPIED)
    assert not list((cluster.folder / "home").rglob("*.safetensors"))
    asked = len(cluster.hub.asked)
    code, stderr = cluster.work(cluster.task(cluster.config(run="another")))
    assert code == 0, stderr
    assert len(cluster.hub.asked) == asked  # not even asked: the store has it whole


def test_a_copy_that_was_killed_goes_on_with_the_files_that_are_missing(cluster: Cluster) -> None:
    cluster.hub.held["model.safetensors"] = threading.Event()
    task = cluster.task(cluster.config())
    with closing_process(cluster.start(task)):
        until = time.monotonic() + 60
        while "/owner/model/resolve/" + COMMIT + "/model.safetensors" not in cluster.hub.asked:
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(0.3)
    assert cluster.store.head(f"models/owner--model/{COMMIT}/skutune-model.json") is None
    cluster.hub.held.pop("model.safetensors").set()
    before = [name for name in cluster.hub.sent if name in COPIED and name != "model.safetensors"]
    assert before
    code, stderr = cluster.work(task)
    assert code == 0, stderr
    after = cluster.hub.sent[len(cluster.hub.sent) - len(COPIED) + len(before) :]
    assert not set(before).intersection(after)
    assert cluster.store.head(f"models/owner--model/{COMMIT}/skutune-model.json") is not None


def test_a_mirrored_model_has_the_identity_and_the_fingerprints_of_the_hubs(cluster: Cluster) -> None:
    config = cluster.config()
    task = cluster.task(config)
    assert cluster.work(task)[0] == 0
    manifest = submit.merge_attempts(StageFolder.read(cluster.store, task.folder), MODELS, None)
    pods, identities = submit.with_mirrored_models(config, manifest)
    assert pods.models.base.name == f"{cluster.store.uri}/models/owner--model/{COMMIT}"
    laptop = cluster.identities(config)
    assert laptop["encoder"] == f"owner/model@{COMMIT} sentence"
    assert identities == laptop
    cluster.hub.status = 503  # pods ask the store alone
    assert cluster.identities(pods) == laptop


def test_a_mirror_that_lost_a_file_is_no_model_and_is_mended(cluster: Cluster) -> None:
    config = cluster.config()
    task = cluster.task(config)
    assert cluster.work(task)[0] == 0
    cluster.store.delete(f"models/owner--model/{COMMIT}/tokenizer.json")
    pods, _ = submit.with_mirrored_models(
        config, submit.merge_attempts(StageFolder.read(cluster.store, task.folder), MODELS, None)
    )
    with pytest.raises(AssertionError, match=r"mirror is corrupt: tokenizer\.json"):
        cluster.identities(pods)
    assert cluster.work(cluster.task(cluster.config(run="another")))[0] == 0
    assert cluster.identities(pods) == cluster.identities(config)


def test_folders_and_prefixes_stay_where_they_are(cluster: Cluster) -> None:
    folder = cluster.folder / "weights"
    prefix = open_store(f"{cluster.store.uri}/trained")
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(FILES[name])
        prefix.put(name, FILES[name])
    config = cluster.config(name=str(folder), revision=None)
    encoder = config.models.encoder.model_copy(update={"name": prefix.uri, "revision": None})
    base = config.models.base.model_copy(update={"name": prefix.uri, "revision": None})
    models = config.models.model_copy(update={"encoder": encoder, "base": base})
    config = config.model_copy(update={"models": models})
    task = cluster.task(config)
    code, stderr = cluster.work(task)
    assert code == 0, stderr
    assert cluster.hub.asked == []
    pods, identities = submit.with_mirrored_models(
        config, submit.merge_attempts(StageFolder.read(cluster.store, task.folder), MODELS, None)
    )
    assert pods == config
    assert identities["base"] == identities["generator"]
    assert identities == cluster.identities(config)
    prefix.put("config.json", b'{"trained": "again"}')
    assert submit.models_source(config) != task.source


@pytest.mark.parametrize("revision", [None, "main", "0123456"])
def test_a_model_that_is_not_pinned_is_refused(cluster: Cluster, revision: str | None) -> None:
    code, stderr = cluster.work(cluster.task(cluster.config(revision=revision)))
    assert code == 10
    said = json.loads(stderr.strip().splitlines()[-1])
    assert [problem["where"] for problem in said["problems"]] == ["models.generator.revision"]
    assert "40 hex digits" in said["problems"][0]["what"]


def test_a_model_that_no_stage_of_the_run_uses_is_not_asked_for(cluster: Cluster) -> None:
    config = cluster.config(revision=None)
    task = cluster.task(config, roles=["encoder"])
    assert cluster.work(task)[0] == 0
    _, identities = submit.with_mirrored_models(
        config, submit.merge_attempts(StageFolder.read(cluster.store, task.folder), MODELS, None)
    )
    assert list(identities) == ["encoder"]


@pytest.mark.parametrize(("status", "code"), [(503, 75), (404, 10)])
def test_a_hub_that_does_not_give_the_model_says_who_must_act(cluster: Cluster, status: int, code: int) -> None:
    cluster.hub.status = status
    assert cluster.work(cluster.task(cluster.config()))[0] == code


def test_a_worker_with_other_weights_than_the_submitter_named_is_refused(cluster: Cluster) -> None:
    task = cluster.task(cluster.config())
    wrong = replace(task, attempt=9, fingerprint="0" * 16)
    manifests.write_task(cluster.store, wrong)
    code, stderr = cluster.work(wrong)
    assert code == 10
    assert "another fingerprint" in stderr
