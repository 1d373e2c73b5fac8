"""Training throughput is reported while a training runs and afterwards."""

import pytest

from skutune.cluster.progress import ProgressReader
from skutune.config.load import parse_config
from skutune.pipeline import manifests, submit
from skutune.pipeline import status as run_status
from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import Manifest, Stats
from skutune.pipeline.stage_folder import StageFolder
from skutune.process.progress import Progress
from skutune.store import open_store
from skutune.worker.shard import Shard

MODEL = {"name": "scripted", "engine": "scripted"}


@pytest.fixture
def finetune(tmp_path):
    """A store and a finetune task that is ready to run."""
    store = open_store(str(tmp_path))
    config = parse_config(
        {
            "run": "sample",
            "catalog": {"source": "products.csv", "buckets": 1},
            "models": {"generator": MODEL, "encoder": MODEL, "base": {"name": "shop/base"}},
        },
        "a test",
    )
    info = submit.open_run(store, config, None)
    compose = Manifest("compose", "f", 1, ())
    plan = submit.plan_task(config, info, STAGES["finetune"], {"compose": compose}, {"base": "shop/base@1"}, "")
    task = submit.next_attempt(StageFolder.read(store, plan.folder), info, STAGES["finetune"], plan, [0], 1)
    manifests.write_task(store, task)
    return store, task


def test_a_running_training_reports_its_throughput(finetune):
    store, task = finetune
    reports = []
    Shard(store, task, 0, reports.append, progress_seconds=0.0).report_progress("epochs", 0.5, 1.0, 321.0)
    assert reports[0].tokens_per_second == 321.0
    assert ProgressReader(store).read(task, 0.0).tokens_per_second == 321.0


def test_a_generating_shard_reports_generated_tokens_per_second():
    progress = Progress("describe", 0, 1, 2, completion_tokens=50, seconds=10.0)
    assert progress.tokens_per_second == 5.0


def test_a_finished_training_keeps_its_throughput(finetune):
    _, task = finetune
    figures = {"tokens_per_second": 123.0}
    manifest = Manifest("finetune", task.fingerprint, 1, (), Stats(seconds=10.0), figures)
    assert manifest.tokens_per_second == 123.0
    assert run_status._summarize("finetune", "done", [manifest], 1, ()).tokens_per_second == 123.0


def test_other_stages_have_no_throughput():
    assert Manifest("ingest", "f", 1, (), Stats(seconds=3.0)).tokens_per_second is None
