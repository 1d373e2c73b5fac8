"""What a real API server refuses is refused here, in words that name the field."""

from __future__ import annotations

from typing import Any

import pytest
from workloads import job, pod

from tests.fakekube import ApiError, Cluster

GPU = "nvidia.com/gpu"
GROUP = "rbac.authorization.k8s.io"


def refusal(cluster: Cluster, manifest: dict[str, Any]) -> str:
    """What the server says to it."""
    with pytest.raises(ApiError) as refused:
        cluster.create(manifest)
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    return refused.value.message


def template(**container: Any) -> dict[str, Any]:
    spec = pod("any", container=container)["spec"]
    made = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "describe"}}
    return {**made, "template": {"metadata": {"labels": {}}, "spec": spec}}


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"name": ""}, "template.spec.containers[0].name: Required value"),
        ({"name": "Worker"}, 'template.spec.containers[0].name: Invalid value: "Worker": a lowercase RFC 1123 label'),
        ({"image": ""}, "template.spec.containers[0].image: Required value"),
        ({"imagePullPolicy": "Sometimes"}, 'supported values: "Always", "IfNotPresent", "Never"'),
        ({"ports": [{"containerPort": 9090, "name": "a-name-that-is-long"}]}, "must be no more than 15 characters"),
        ({"volumeMounts": [{"name": "none", "mountPath": "/x"}]}, 'volumeMounts[0].name: Not found: "none"'),
        ({"env": [{"name": "A", "value": "1", "valueFrom": {}}, {"value": "2"}]}, "env[1].name: Required value"),
        ({"resources": {"limits": {"memory": "much"}}}, "quantities must match the regular expression"),
        ({"resources": {"limits": {GPU: "0.5"}}}, "must be an integer"),
        ({"resources": {"requests": {GPU: 1}}}, "Limit must be set for non overcommitable resources"),
        ({"resources": {"requests": {GPU: 1}, "limits": {GPU: 2}}}, f"must be equal to {GPU} limit of 2"),
        ({"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "500m"}}}, "must be less than or equal to cpu limit"),
    ],
)
def test_a_pod_template_is_checked_to_the_last_container(
    cluster: Cluster, container: dict[str, Any], words: str
) -> None:
    assert words in refusal(cluster, template(**container))


def test_a_good_template_is_defaulted(cluster: Cluster) -> None:
    made = cluster.create(template(image="registry.example/worker", resources={"limits": {GPU: 2}}))
    container = made["template"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"]["requests"] == {GPU: 2}
    assert made["template"]["spec"]["terminationGracePeriodSeconds"] == 2


def test_all_wrong_fields_are_told_at_once(cluster: Cluster) -> None:
    told = refusal(cluster, template(name="", image=""))
    assert "containers[0].name" in told
    assert "containers[0].image" in told


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"completionMode": "Indexed", "parallelism": 2},
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        ({"backoffLimitPerIndex": 1}, "requires indexed completion mode"),
        (
            {"pod_spec": {"restartPolicy": "Always"}},
            'Unsupported value: "Always": supported values: "OnFailure", "Never"',
        ),
        ({"podReplacementPolicy": "TerminatingOrFailed", "podFailurePolicy": {"rules": []}}, "podReplacementPolicy"),
        (
            {
                "podFailurePolicy": {
                    "rules": [
                        {"action": "FailJob", "onExitCodes": {"containerName": "x", "operator": "In", "values": [1]}}
                    ]
                }
            },
            "must be one of the container or initContainer names",
        ),
        (
            {
                "podFailurePolicy": {
                    "rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [20]}}]
                }
            },
            "requires the backoffLimitPerIndex to be set",
        ),
        (
            {
                "podFailurePolicy": {
                    "rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [20, 10]}}]
                }
            },
            "must be ordered",
        ),
    ],
)
def test_a_wrong_job_is_refused(cluster: Cluster, spec: dict[str, Any], words: str) -> None:
    assert words in refusal(cluster, job("wrong", **spec))


def test_a_jobs_name_leaves_room_for_its_indexes(cluster: Cluster) -> None:
    cluster.create(job("j" * 61, completionMode="Indexed", completions=10, suspend=True))
    told = refusal(cluster, job("k" * 61, completionMode="Indexed", completions=11, suspend=True))
    assert "must be no more than 63 characters" in told


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"run": "r" * 64}, "must be no more than 63 characters"),
        ({"run": "-fall"}, "a valid label must be an empty string or consist of"),
        ({"a b": "c"}, "name part must consist of"),
    ],
)
def test_labels_are_short_and_plain(cluster: Cluster, labels: dict[str, str], words: str) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "labels": labels}}
    assert words in refusal(cluster, manifest)


@pytest.mark.parametrize("name", ["s" * 64, "with.dots"])
def test_a_services_name_is_one_label(cluster: Cluster, name: str) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"clusterIP": "None"}}
    assert "RFC 1123 label" in refusal(cluster, service)


def test_an_owner_is_named_completely(cluster: Cluster) -> None:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "controller"}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "ownerReferences": [owner]}}
    assert "metadata.ownerReferences.uid" in refusal(cluster, manifest)


def test_a_binding_keeps_its_role(cluster: Cluster) -> None:
    reference = {"apiGroup": GROUP, "kind": "Role", "name": "one"}
    cluster.create(
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "b"},
            "subjects": [],
            "roleRef": reference,
        }
    )
    with pytest.raises(ApiError, match="cannot change roleRef"):
        cluster.patch("rolebindings", "b", {"roleRef": {"name": "two"}})


def test_an_object_has_a_limit(cluster: Cluster) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "x" * (1 << 20)}}
    assert "Too long" in refusal(cluster, manifest)
