"""ServiceAccounts may do what the stored Roles grant, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client.rest import ApiException
from workloads import job

from tests.fakekube import Cluster

GROUP = "rbac.authorization.k8s.io"


def grant(cluster: Cluster, *rules: dict[str, Any], account: str = "robot") -> client.ApiClient:
    """A client of a ServiceAccount with a Role of these rules."""
    cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}})
    role = {"apiVersion": f"{GROUP}/v1", "kind": "Role", "metadata": {"name": account}, "rules": list(rules)}
    cluster.create(role)
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "default"}
    reference = {"apiGroup": GROUP, "kind": "Role", "name": account}
    binding = {"apiVersion": f"{GROUP}/v1", "kind": "RoleBinding", "metadata": {"name": account}}
    cluster.create({**binding, "subjects": [subject], "roleRef": reference})
    return config.new_client_from_config(str(cluster.kubeconfig_for(account)))


def rule(group: str, resources: list[str], verbs: list[str], **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs, **more}


def test_a_granted_verb_is_served_and_another_is_not(cluster: Cluster) -> None:
    batch = client.BatchV1Api(grant(cluster, rule("batch", ["jobs"], ["list", "create"])))
    batch.create_namespaced_job("default", job("work"))
    assert len(batch.list_namespaced_job("default").items) == 1
    with pytest.raises(ApiException) as refused:
        batch.delete_namespaced_job("work", "default")
    assert refused.value.status == 403
    assert (
        'User \\"system:serviceaccount:default:robot\\" cannot delete resource \\"jobs\\" in API group \\"batch\\" '
        'in the namespace \\"default\\"'
    ) in refused.value.body


def test_a_role_reaches_no_other_namespace(cluster: Cluster) -> None:
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    core = client.CoreV1Api(grant(cluster, rule("", ["configmaps"], ["list"])))
    core.list_namespaced_config_map("default")
    with pytest.raises(ApiException):
        core.list_namespaced_config_map("other")
    with pytest.raises(ApiException):
        core.list_config_map_for_all_namespaces()


def test_resource_names_narrow_a_rule(cluster: Cluster) -> None:
    core = client.CoreV1Api(grant(cluster, rule("", ["configmaps"], ["get"], resourceNames=["kube-root-ca.crt"])))
    core.read_namespaced_config_map("kube-root-ca.crt", "default")
    cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}})
    with pytest.raises(ApiException) as refused:
        core.read_namespaced_config_map("other", "default")
    assert refused.value.status == 403


def test_a_subresource_is_a_right_of_its_own(cluster: Cluster) -> None:
    cluster.create(job("work", "echo done"))
    core = client.CoreV1Api(grant(cluster, rule("", ["pods"], ["get", "list"])))
    name = cluster.wait(lambda: [pod for pod in cluster.list("pods") if pod["status"]["phase"] == "Succeeded"])
    with pytest.raises(ApiException) as refused:
        core.read_namespaced_pod_log(name[0]["metadata"]["name"], "default")
    assert refused.value.status == 403
    logs = client.CoreV1Api(grant(cluster, rule("", ["pods/log"], ["get"]), account="reader"))
    assert logs.read_namespaced_pod_log(name[0]["metadata"]["name"], "default") == "done\n"


def test_everybody_may_ask_what_he_may(cluster: Cluster) -> None:
    review = client.AuthorizationV1Api(grant(cluster, rule("batch", ["jobs"], ["create"])))

    def may(verb: str) -> bool:
        asked = {"namespace": "default", "verb": verb, "group": "batch", "resource": "jobs"}
        answer = review.create_self_subject_access_review({"spec": {"resourceAttributes": asked}})
        return bool(answer.status.allowed)

    assert may("create")
    assert not may("delete")


def test_a_request_without_credentials_is_not_authorized(cluster: Cluster) -> None:
    settings = client.Configuration(host=cluster.url.partition("/as/")[0])
    with pytest.raises(ApiException) as refused:
        client.CoreV1Api(client.ApiClient(settings)).list_namespaced_pod("default")
    assert refused.value.status == 401


def test_without_rbac_every_account_may_do_everything() -> None:
    with Cluster(rbac=False) as cluster:
        core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig_for("anybody"))))
        core.create_namespaced_config_map("default", {"metadata": {"name": "a"}})
