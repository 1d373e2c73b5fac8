"""Values that cannot run are refused before anything is installed, in words that say what to change."""

from typing import Any

import pytest
from chart_rendering import HELMS, ONE_NODE, RefusedError, render

Values = dict[str, Any]


def refusal(changes: Values, example: str = ONE_NODE, helm: str = "helm 4") -> str:
    with pytest.raises(RefusedError) as caught:
        render(example, changes, helm=helm)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": {"store": "./runs"}}, "config.store is"),
        ({"config": {"store": "s3://user:secret@bucket/runs"}}, "no endpoint and no key"),
        ({"config": {"catalog": {"source": "products.csv"}}}, "config.catalog.source is"),
        ({"config": {"models": {"base": {"name": "./llama"}}}}, "config.models.base.name is"),
        ({"config": {"models": {"encoder": {"revision": None}}}}, "config.models.encoder: the hub model"),
        ({"config": {"models": {"encoder": {"revision": "main"}}}}, "config.models.encoder: the hub model"),
        (
            {"gpu": {"devices": 4}, "stages": {"finetune": {"devices": 8}}},
            "stages.finetune.devices is 8, but gpu.devices",
        ),
        ({"gpu": {"devices": 0}, "stages": {"embed": {"devices": 1}}}, "stages.embed.devices is 1, but gpu.devices"),
        (
            {"stages": {"finetune": {"devices": 4, "nodes": 3}}},
            "3 nodes with 4 devices each are 12, but gpu.devices is 8",
        ),
        ({"schedule": {"cron": "0 3 * * *"}, "rerun": 1}, "rerun starts a single run again"),
        ({"schedule": {"suspend": True}}, "schedule.suspend without schedule.cron"),
        ({"kueue": {"queueName": "q"}, "stages": {"embed": {"shards": 9}}}, "stages.embed: Kueue admits a Job whole"),
        ({"images": {"registry": ""}}, "images.registry is empty"),
        ({"images": {"train": {"tag": "latest"}}}, "images.train.tag is latest"),
        (
            {"serviceAccounts": {"stages": {"create": False}}},
            "serviceAccounts.stages.create is false: name the account",
        ),
        (
            {"serviceAccounts": {"stages": {"name": "ml"}, "controller": {"name": "ml"}}},
            "stages would have the controller's rights",
        ),
        ({"store": {"caBundle": {"configMap": "a", "secret": "b"}}}, "store.caBundle names both"),
        ({"cache": {"type": "pvc"}}, "name the claim in cache.claim"),
        ({"cache": {"claim": "models"}}, "cache.claim is given, but cache.type is emptyDir"),
        ({"cache": {"type": "image"}}, "cache.image.reference"),
        ({"cache": {"image": {"reference": "r/m:1"}}}, "cache.image.reference is given, but cache.type is emptyDir"),
        ({"extraEnv": [{"name": "SKUTUNE_TASK", "value": "x"}]}, "extraEnv sets SKUTUNE_TASK"),
        ({"stages": {"link": {"extraEnv": [{"name": "SKUTUNE_JOB", "value": "x"}]}}}, "stages.link.extraEnv sets"),
        ({"defaults": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}, "say it as devices"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_run_is_refused_in_words(changes: Values, words: str) -> None:
    message = refusal(changes)
    assert "these values cannot run:" in message
    assert words in message


def test_all_that_is_wrong_is_said_at_once() -> None:
    message = refusal({"config": {"store": "./runs"}, "images": {"registry": ""}, "cache": {"type": "pvc"}})
    assert message.count("\n  - ") == 3


def test_the_same_plan_with_enough_devices_is_no_fault() -> None:
    render(changes={"gpu": {"devices": 12}, "stages": {"finetune": {"devices": 4, "nodes": 3}}})


def test_a_model_that_no_stage_needs_may_be_unpinned() -> None:
    unpinned = {"config": {"models": {"base": {"name": "meta-llama/Llama-2-7b-chat-hf", "revision": None}}}}
    assert "config.models.base" in refusal(unpinned)
    render(changes={**unpinned, "until": "compose"})


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize(
    ("changes", "where"),
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
def test_the_schema_refuses_unknown_keys_and_wrong_values(changes: Values, where: str, helm: str) -> None:
    message = refusal(changes, helm=helm)
    assert "schema" in message
    assert where in message


@pytest.mark.parametrize("helm", HELMS)
def test_helms_own_key_and_empty_sections_are_no_fault(helm: str) -> None:
    changes: Values = {"global": {"team": "search"}, "config": {"coverage": None}, "stages": {"embed": None}}
    rendered = render(changes=changes, helm=helm)
    assert rendered.controller_file()["config"].get("coverage") is None
