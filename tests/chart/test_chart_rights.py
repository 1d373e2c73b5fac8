"""RBAC and network policies."""

from typing import Any

import pytest
from chart_rendering import EXAMPLES, Rendered, render

PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_controllers_role_grants_exactly_what_it_uses(example: str) -> None:
    rendered = render(example)
    role = rendered.one("Role")
    assert role["rules"] == [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create", "delete", "patch"]},
        {"apiGroups": [""], "resources": ["podtemplates"], "verbs": ["get", "list"]},
        PODS,
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch", "list"]},
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["fall-skutune-status"],
            "verbs": ["get", "patch"],
        },
    ]
    binding = rendered.one("RoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [(s["kind"], s["name"], s["namespace"]) for s in binding["subjects"]] == [
        ("ServiceAccount", "fall-skutune-controller", "team")
    ]


def test_no_permissions_beyond_the_namespace_or_for_stages() -> None:
    kinds = {item["kind"] for example in EXAMPLES for item in render(example)}
    assert kinds == {
        "ConfigMap",
        "CronJob",
        "Job",
        "NetworkPolicy",
        "Pod",
        "PodTemplate",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    }


def test_permission_to_delete_pods_requires_force_delete() -> None:
    rendered = render(changes={"controller": {"forceDelete": True}})
    assert PODS | {"verbs": [*PODS["verbs"], "delete"]} in rendered.one("Role")["rules"]
    assert rendered.controller_file()["cluster"]["force_delete"] is True


def test_existing_accounts_are_bound_but_not_created() -> None:
    own = {"create": False, "name": "trainer"}
    rendered = render(changes={"serviceAccounts": {"controller": own, "stages": own | {"name": "worker"}}})
    assert rendered.of("ServiceAccount") == []
    assert rendered.one("RoleBinding")["subjects"][0]["name"] == "trainer"
    assert rendered.one("Job")["spec"]["template"]["spec"]["serviceAccountName"] == "trainer"
    assert rendered.stage("embed")["template"]["spec"]["serviceAccountName"] == "worker"


def egress(rendered: Rendered, component: str) -> set[tuple[str, int]]:
    """The egress ports of a policy."""
    rules = rendered.one("NetworkPolicy", f"-{component}")["spec"]["egress"]
    return {(port["protocol"], port["port"]) for rule in rules for port in rule.get("ports", [])}


DNS = {("UDP", 53), ("TCP", 53), ("UDP", 5353), ("TCP", 5353)}
STORE, API = ("TCP", 443), {("TCP", 443), ("TCP", 6443)}


def test_only_the_controller_reaches_the_api_server() -> None:
    rendered = render("kind-cpu")
    store = {("TCP", 8333)}
    assert egress(rendered, "controller") == DNS | store | API
    assert egress(rendered, "stage") == egress(rendered, "test") == DNS | store


def test_the_stores_default_port_is_its_endpoints() -> None:
    for endpoint, port in (("https://s3.example.com", 443), ("http://s3", 80), ("http://s3:9000/", 9000), ("", 443)):
        rendered = render("kind-cpu", {"store": {"endpoint": endpoint}})
        assert egress(rendered, "stage") == DNS | {("TCP", port)}


def test_token_endpoints_are_reachable_only_without_a_secret() -> None:
    assert ("TCP", 80) in egress(render("8-gpus-nodes"), "stage")
    assert ("TCP", 80) not in egress(render(), "stage")


def test_only_the_stage_models_reaches_the_hub_and_only_for_hub_models() -> None:
    policy = render().one("NetworkPolicy", "-hub")["spec"]
    assert policy["podSelector"]["matchLabels"]["skutune.io/stage"] == "models"
    assert [
        item for item in render("air-gapped").of("NetworkPolicy") if item["metadata"]["name"].endswith("-hub")
    ] == []
    assert [item for item in render("kind-cpu").of("NetworkPolicy") if item["metadata"]["name"].endswith("-hub")] == []
    mirror = render(changes={"hub": {"endpoint": "http://hub.example.com:8080"}})
    assert egress(mirror, "hub") == {("TCP", 8080)}


def test_policies_with_peers_restrict_all_egress() -> None:
    for policy in render("air-gapped").of("NetworkPolicy"):
        assert all(rule.get("to") for rule in policy["spec"]["egress"])


def test_ingress_is_limited_to_metrics_and_distributed_training() -> None:
    rendered = render("8-gpus-nodes")
    incoming: dict[str, Any] = {
        policy["metadata"]["name"]: policy["spec"].get("ingress", []) for policy in rendered.of("NetworkPolicy")
    }
    peers = incoming.pop("fall-skutune-finetune")
    assert peers[0]["from"][0]["podSelector"]["matchLabels"]["skutune.io/stage"] == "finetune"
    metrics = incoming.pop("fall-skutune-controller")
    assert metrics == [{"ports": [{"protocol": "TCP", "port": 9090}]}]
    assert set(map(str, incoming.values())) == {"[]"}
    for policy in rendered.of("NetworkPolicy"):
        assert "Egress" in policy["spec"]["policyTypes"]


def test_metrics_access_can_be_restricted() -> None:
    source = render("air-gapped").one("NetworkPolicy", "-controller")["spec"]["ingress"][0]["from"]
    assert source == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


def test_network_policies_can_be_disabled() -> None:
    assert render(changes={"networkPolicy": {"enabled": False}}).of("NetworkPolicy") == []


def test_pods_of_a_distributed_training_resolve_each_other_before_they_are_ready() -> None:
    service = render("8-gpus-nodes").one("Service")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    template = render("8-gpus-nodes").stage("finetune")["template"]
    assert template["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert render().of("Service") == []
