"""Values that cannot run are rejected before anything is installed, with a message that says what to change."""

from typing import Any

import pytest
from chart_rendering import HELMS, ONE_NODE, RenderError, render

Values = dict[str, Any]


def render_error(changes: Values, example: str = ONE_NODE, helm: str = "helm 4") -> str:
    with pytest.raises(RenderError) as caught:
        render(example, changes, helm=helm)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"config": {"store": "./runs"}}, "config.store is"),
        ({"config": {"store": "s3://user:secret@bucket/runs"}}, "set the endpoint and credentials in store.endpoint"),
        ({"config": {"catalog": {"source": "products.csv"}}}, "config.catalog.source is"),
        ({"config": {"models": {"base": {"name": "./llama"}}}}, "config.models.base.name is"),
        ({"config": {"models": {"encoder": {"revision": None}}}}, "config.models.encoder: set revision of hub model"),
        ({"config": {"models": {"encoder": {"revision": "main"}}}}, "config.models.encoder: set revision of hub model"),
        (
            {"gpu": {"devices": 4}, "stages": {"finetune": {"devices": 8}}},
            "stages.finetune.devices is 8, but gpu.devices",
        ),
        ({"gpu": {"devices": 0}, "stages": {"embed": {"devices": 1}}}, "stages.embed.devices is 1, but gpu.devices"),
        (
            {"stages": {"finetune": {"devices": 4, "nodes": 3}}},
            "3 nodes with 4 devices each need 12 devices, but gpu.devices is 8",
        ),
        ({"schedule": {"cron": "0 3 * * *"}, "rerun": 1}, "rerun has no effect with schedule.cron"),
        ({"schedule": {"suspend": True}}, "schedule.suspend requires schedule.cron"),
        (
            {"kueue": {"queueName": "q"}, "stages": {"embed": {"shards": 9}}},
            "stages.embed: Kueue admits only complete Jobs",
        ),
        ({"images": {"registry": ""}}, "images.registry is empty"),
        ({"images": {"train": {"tag": "latest"}}}, "images.train.tag is latest"),
        (
            {"serviceAccounts": {"stages": {"create": False}}},
            "serviceAccounts.stages.create is false; set serviceAccounts.stages.name",
        ),
        (
            {"serviceAccounts": {"stages": {"name": "ml"}, "controller": {"name": "ml"}}},
            "which would give stages the controller's permissions",
        ),
        ({"store": {"caBundle": {"configMap": "a", "secret": "b"}}}, "store.caBundle sets both"),
        ({"cache": {"type": "pvc"}}, "set cache.claim"),
        ({"cache": {"claim": "models"}}, "cache.claim is set, but cache.type is emptyDir"),
        ({"cache": {"type": "image"}}, "cache.image.reference"),
        ({"cache": {"image": {"reference": "r/m:1"}}}, "cache.image.reference is set, but cache.type is emptyDir"),
        ({"extraEnv": [{"name": "SKUTUNE_TASK", "value": "x"}]}, "extraEnv sets SKUTUNE_TASK"),
        (
            {"extraVolumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}]},
            "extraVolumes names shm, which the chart defines; set shm.size",
        ),
        (
            {"stages": {"describe": {"extraVolumes": [{"name": "cache", "emptyDir": {}}]}}},
            "stages.describe.extraVolumes names cache, which the chart defines; set cache.type and cache.size",
        ),
        (
            {"defaults": {"extraVolumeMounts": [{"name": "mine", "mountPath": "/tmp/"}]}},
            "defaults.extraVolumeMounts mounts /tmp, which the chart mounts; its pods have a writable /tmp",
        ),
        ({"stages": {"link": {"extraEnv": [{"name": "SKUTUNE_JOB", "value": "x"}]}}}, "stages.link.extraEnv sets"),
        ({"defaults": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}, "set devices instead"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_cannot_run_are_rejected(changes: Values, expected: str) -> None:
    message = render_error(changes)
    assert "invalid values:" in message
    assert expected in message


def test_all_problems_are_reported_together() -> None:
    message = render_error({"config": {"store": "./runs"}, "images": {"registry": ""}, "cache": {"type": "pvc"}})
    assert message.count("\n  - ") == 3


def test_the_same_plan_with_enough_devices_is_valid() -> None:
    render(changes={"gpu": {"devices": 12}, "stages": {"finetune": {"devices": 4, "nodes": 3}}})


def test_a_model_that_no_stage_uses_needs_no_revision() -> None:
    unpinned = {"config": {"models": {"base": {"name": "meta-llama/Llama-2-7b-chat-hf", "revision": None}}}}
    assert "config.models.base" in render_error(unpinned)
    render(changes={**unpinned, "until": "compose"})


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"gpus": {"devices": 8}}, "gpus"),
        ({"gpu": {"device": 8}}, "device"),
        ({"gpu": {"devices": -1}}, "devices"),
        ({"gpu": {"devices": "eight"}}, "devices"),
        ({"config": {"stroe": "s3://bucket"}}, "stroe"),
        ({"config": {"stages": {"paraphrase": {"variants": 99}}}}, "variants"),
        ({"stages": {"ingest": {"devices": 1}}}, "devices"),
        ({"stages": {"classify": {"shards": 2}}}, "shards"),
        ({"stages": {"embed": {"nodes": 2}}}, "nodes"),
        ({"stages": {"paraphase": {}}}, "paraphase"),
        ({"cache": {"type": "hostPath"}}, "type"),
        ({"images": {"train": {"digest": "abc"}}}, "digest"),
        ({"store": {"uri": "s3://bucket"}}, "uri"),
        ({"store": {"endpoint": "s3.example.com:9000"}}, "endpoint"),
        ({"until": "describ"}, "until"),
        ({"hub": {"token": "hf_secret"}}, "token"),
    ],
    ids=str,
)
def test_the_schema_rejects_unknown_keys_and_invalid_values(changes: Values, key: str, helm: str) -> None:
    message = render_error(changes, helm=helm)
    assert "schema" in message
    assert key in message


@pytest.mark.parametrize("helm", HELMS)
def test_global_values_and_empty_sections_are_valid(helm: str) -> None:
    changes: Values = {"global": {"team": "search"}, "config": {"coverage": None}, "stages": {"embed": None}}
    rendered = render(changes=changes, helm=helm)
    assert rendered.controller_file()["config"].get("coverage") is None
