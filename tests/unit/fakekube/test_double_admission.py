"""Quotas and security levels refuse pods at creation; a Job then has Events and no pods, as on a real cluster."""

from __future__ import annotations

from typing import Any

import pytest
from workloads import end_of, events_about, job, pod, pods_of, wait_for_phase

from tests.fakekube import ApiError, Cluster

GPU = "nvidia.com/gpu"
CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
RESTRICTED = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def quota(**hard: str) -> dict[str, Any]:
    amounts = {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "limits"}, "spec": {"hard": amounts}}


def gpus(count: int) -> dict[str, Any]:
    return {"container": {"resources": {"limits": {GPU: count}}}}


def enforce(cluster: Cluster, level: str) -> None:
    label = {"pod-security.kubernetes.io/enforce": level}
    cluster.patch("namespaces", "default", {"metadata": {"labels": label}})


def test_a_quota_refuses_a_pod_in_the_real_words(cluster: Cluster) -> None:
    manifest = quota()
    manifest["spec"]["hard"] = {f"requests.{GPU}": "4"}
    cluster.create(manifest)
    cluster.create(pod("first", "sleep 60", **gpus(3)))
    with pytest.raises(ApiError, match="exceeded quota: limits") as refused:
        cluster.create(pod("second", **gpus(2)))
    assert refused.value.code == 403
    told = f"requested: requests.{GPU}=2, used: requests.{GPU}=3, limited: requests.{GPU}=4"
    assert refused.value.message == f'pods "second" is forbidden: exceeded quota: limits, {told}'


def test_a_job_over_a_quota_has_no_pods_but_an_event(cluster: Cluster) -> None:
    cluster.create(quota(pods="1"))
    cluster.create(pod("blocker", "sleep 60"))
    cluster.create(job("refused"))
    cluster.wait(lambda: any(reason == "FailedCreate" for reason, _ in events_about(cluster, "refused")))
    message = next(text for reason, text in events_about(cluster, "refused") if reason == "FailedCreate")
    assert message.startswith('Error creating: pods "refused-')
    assert message.endswith("is forbidden: exceeded quota: limits, requested: pods=1, used: pods=1, limited: pods=1")
    assert pods_of(cluster, "refused") == []


def test_a_job_gets_its_pods_once_the_quota_lets_them(cluster: Cluster) -> None:
    cluster.create(quota(pods="1"))
    cluster.create(pod("blocker", "sleep 0.5"))
    cluster.create(job("patient"))
    assert end_of(cluster, "patient") == "Complete"


def test_a_quota_on_cpu_wants_every_pod_to_say_what_it_needs(cluster: Cluster) -> None:
    cluster.create(quota(requests_cpu="2", limits_memory="1Gi"))
    with pytest.raises(ApiError, match=r"failed quota: limits: must specify limits\.memory,requests\.cpu"):
        cluster.create(pod("silent"))
    resources = {"requests": {"cpu": "500m"}, "limits": {"memory": "256Mi"}}
    cluster.create(pod("told", container={"resources": resources}))


def test_a_quota_shows_what_is_used(cluster: Cluster) -> None:
    cluster.create(quota(pods="5", count__jobs_batch="9"))
    cluster.create(pod("one", "sleep 60"))
    used = {"pods": "1", "count/jobs.batch": "0"}
    cluster.wait(lambda: cluster.get("resourcequotas", "limits")["status"].get("used") == used)


def test_the_restricted_level_names_all_that_a_pod_lacks(cluster: Cluster) -> None:
    enforce(cluster, "restricted")
    with pytest.raises(ApiError) as refused:
        cluster.create(pod("careless"))
    assert refused.value.message == (
        'pods "careless" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "m" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "m" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "m" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "m" must set securityContext.seccompProfile.type '
        'to "RuntimeDefault" or "Localhost")'
    )


def test_a_pod_that_keeps_the_restricted_rules_runs(cluster: Cluster) -> None:
    enforce(cluster, "restricted")
    cluster.create(pod("careful", securityContext=RESTRICTED, container={"securityContext": CONTAINER}))
    wait_for_phase(cluster, "careful", "Succeeded")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"volumes": [{"name": "disk", "hostPath": {"path": "/data"}}]}, "restricted volume types"),
        ({"hostNetwork": True}, "host namespaces (hostNetwork=true)"),
        ({"securityContext": {**RESTRICTED, "runAsUser": 0}}, "runAsUser=0"),
        ({"container": {"securityContext": {**CONTAINER, "privileged": True}}}, "privileged"),
    ],
)
def test_the_restricted_level_refuses(cluster: Cluster, change: dict[str, Any], words: str) -> None:
    enforce(cluster, "restricted")
    spec = {"securityContext": RESTRICTED, "container": {"securityContext": CONTAINER}, **change}
    with pytest.raises(ApiError) as refused:
        cluster.create(pod("careless", **spec))
    assert words in refused.value.message


def test_the_baseline_level_asks_for_less(cluster: Cluster) -> None:
    enforce(cluster, "baseline")
    cluster.create(pod("ordinary"))
    with pytest.raises(ApiError, match="hostPath volumes"):
        cluster.create(pod("curious", volumes=[{"name": "disk", "hostPath": {"path": "/data"}}]))


def test_a_pod_of_an_account_that_does_not_exist_is_refused(cluster: Cluster) -> None:
    with pytest.raises(ApiError, match='serviceaccount "nobody" not found'):
        cluster.create(pod("stray", serviceAccountName="nobody"))


def test_a_pod_of_a_priority_class_that_does_not_exist_is_refused(cluster: Cluster) -> None:
    with pytest.raises(ApiError, match="no PriorityClass with name urgent was found"):
        cluster.create(pod("stray", priorityClassName="urgent"))
    kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "urgent"}, "value": 7}
    cluster.create(kind)
    assert cluster.create(pod("stray", priorityClassName="urgent"))["spec"]["priority"] == 7
