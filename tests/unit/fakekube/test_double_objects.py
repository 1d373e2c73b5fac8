"""Objects as the official client stores, changes, watches and deletes them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from workloads import job

from tests.fakekube import Cluster

NAMESPACE = "default"


@pytest.fixture
def core(cluster: Cluster) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))


@pytest.fixture
def batch(cluster: Cluster) -> client.BatchV1Api:
    return client.BatchV1Api(config.new_client_from_config(str(cluster.kubeconfig)))


def refusal(call: Callable[[], Any]) -> tuple[int, str]:
    """(code, reason) of the Status that a call ends with."""
    with pytest.raises(ApiException) as refused:
        call()
    status = json.loads(refused.value.body)
    assert status["code"] == refused.value.status
    return status["code"], status["reason"]


def settings(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"made": "here"}}, "data": data}


class TestStoring:
    def test_what_is_created_gets_an_identity_and_defaults(self, batch: client.BatchV1Api) -> None:
        made = batch.create_namespaced_job(NAMESPACE, job("work", suspend=True))
        assert made.metadata.uid
        assert made.metadata.creation_timestamp
        assert made.metadata.generation == 1
        assert made.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": made.metadata.uid}
        assert made.spec.template.metadata.labels["batch.kubernetes.io/job-name"] == "work"
        assert (made.spec.completions, made.spec.backoff_limit) == (1, 6)

    def test_a_name_is_taken_once(self, batch: client.BatchV1Api) -> None:
        batch.create_namespaced_job(NAMESPACE, job("work", suspend=True))
        again = refusal(lambda: batch.create_namespaced_job(NAMESPACE, job("work", suspend=True)))
        assert again == (409, "AlreadyExists")

    def test_what_is_not_there_is_not_found(self, batch: client.BatchV1Api) -> None:
        assert refusal(lambda: batch.read_namespaced_job("nobody", NAMESPACE)) == (404, "NotFound")

    def test_a_namespace_has_to_exist(self, core: client.CoreV1Api) -> None:
        assert refusal(lambda: core.create_namespaced_config_map("nowhere", settings("a"))) == (404, "NotFound")

    def test_a_generated_name_begins_as_asked(self, core: client.CoreV1Api) -> None:
        made = core.create_namespaced_config_map(NAMESPACE, {"metadata": {"generateName": "g-"}})
        assert made.metadata.name.startswith("g-")
        assert len(made.metadata.name) == 7

    def test_a_dry_run_stores_nothing(self, core: client.CoreV1Api) -> None:
        core.create_namespaced_config_map(NAMESPACE, settings("dry"), dry_run="All")
        assert refusal(lambda: core.read_namespaced_config_map("dry", NAMESPACE)) == (404, "NotFound")

    def test_an_unknown_field_is_refused_where_the_client_wants_strictness(self, cluster: Cluster) -> None:
        wrong = job("typo")
        wrong["spec"]["bogus"] = 1
        url = f"{cluster.url}/apis/batch/v1/namespaces/{NAMESPACE}/jobs?fieldValidation="
        strict = urllib3.request("POST", f"{url}Strict", json=wrong)  # the official client would not even send it
        assert strict.status == 400
        assert 'strict decoding error: unknown field "spec.bogus"' in strict.json()["message"]
        lenient = urllib3.request("POST", f"{url}Warn", json=wrong)
        assert lenient.status == 201
        assert lenient.headers["Warning"] == '299 - "unknown field \\"spec.bogus\\""'

    def test_a_secrets_text_is_stored_encoded(self, core: client.CoreV1Api) -> None:
        made = core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
        assert made.data == {"k": "dg=="}

    def test_immutable_data_stays(self, core: client.CoreV1Api) -> None:
        core.create_namespaced_config_map(NAMESPACE, {**settings("fixed", k="v"), "immutable": True})
        change = {"data": {"k": "w"}}
        assert refusal(lambda: core.patch_namespaced_config_map("fixed", NAMESPACE, change)) == (422, "Invalid")

    def test_a_lease_is_taken_over(self, cluster: Cluster) -> None:
        leases = client.CoordinationV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
        spec = {"holderIdentity": "x", "leaseDurationSeconds": 5, "acquireTime": "2026-01-01T00:00:00.000001Z"}
        lease = leases.create_namespaced_lease(NAMESPACE, {"metadata": {"name": "l"}, "spec": spec})
        lease.spec.holder_identity = "y"
        assert leases.replace_namespaced_lease("l", NAMESPACE, lease).spec.holder_identity == "y"


class TestChanging:
    def test_three_kinds_of_patches(self, batch: client.BatchV1Api) -> None:
        batch.create_namespaced_job(NAMESPACE, job("work", suspend=True))
        batch.patch_namespaced_job("work", NAMESPACE, {"metadata": {"annotations": {"a": "1"}}})
        added = [{"op": "add", "path": "/metadata/annotations/b", "value": "2"}]
        assert batch.patch_namespaced_job("work", NAMESPACE, added).metadata.annotations == {"a": "1", "b": "2"}
        removed = batch.patch_namespaced_job("work", NAMESPACE, {"metadata": {"annotations": {"a": None}}})
        assert removed.metadata.annotations == {"b": "2"}

    def test_a_strategic_patch_knows_containers_by_name(self, core: client.CoreV1Api) -> None:
        api = core.api_client
        template = {"spec": job("any")["spec"]["template"]["spec"]}
        made = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": template}
        core.create_namespaced_pod_template(NAMESPACE, made)
        patch = {"template": {"spec": {"containers": [{"name": "m", "env": [{"name": "A", "value": "1"}]}]}}}
        kind = "application/strategic-merge-patch+json"
        changed = core.patch_namespaced_pod_template("t", NAMESPACE, patch, _content_type=kind)
        container = api.sanitize_for_serialization(changed)["template"]["spec"]["containers"][0]
        assert container["env"] == [{"name": "A", "value": "1"}]
        assert container["command"] == ["sh", "-c", "true"]

    def test_status_and_spec_are_apart(self, batch: client.BatchV1Api) -> None:
        batch.create_namespaced_job(NAMESPACE, job("work", managedBy="example.com/nobody"))
        both = {"status": {"active": 1}, "spec": {"backoffLimit": 9}}
        assert batch.patch_namespaced_job_status("work", NAMESPACE, both).spec.backoff_limit == 6
        after = batch.patch_namespaced_job("work", NAMESPACE, {"status": {"active": 7}, "spec": {"backoffLimit": 2}})
        assert (after.status.active, after.spec.backoff_limit) == (1, 2)

    def test_a_stale_version_is_a_conflict(self, core: client.CoreV1Api) -> None:
        first = core.create_namespaced_config_map(NAMESPACE, settings("c", k="1"))
        core.patch_namespaced_config_map("c", NAMESPACE, {"data": {"k": "2"}})
        first.data = {"k": "3"}
        assert refusal(lambda: core.replace_namespaced_config_map("c", NAMESPACE, first)) == (409, "Conflict")
        fresh = core.read_namespaced_config_map("c", NAMESPACE)
        fresh.data = {"k": "3"}
        assert core.replace_namespaced_config_map("c", NAMESPACE, fresh).data == {"k": "3"}

    def test_a_change_of_nothing_makes_no_new_version(self, core: client.CoreV1Api) -> None:
        first = core.create_namespaced_config_map(NAMESPACE, settings("c", k="1"))
        again = core.patch_namespaced_config_map("c", NAMESPACE, {"data": {"k": "1"}})
        assert again.metadata.resource_version == first.metadata.resource_version

    @pytest.mark.parametrize(
        "change", [{"completionMode": "NonIndexed"}, {"template": {"spec": {"restartPolicy": "OnFailure"}}}]
    )
    def test_a_jobs_work_is_immutable(self, batch: client.BatchV1Api, change: dict[str, Any]) -> None:
        manifest = job("fixed", "sleep 60", completionMode="Indexed", completions=1)
        batch.create_namespaced_job(NAMESPACE, manifest)
        assert refusal(lambda: batch.patch_namespaced_job("fixed", NAMESPACE, {"spec": change})) == (422, "Invalid")

    def test_server_side_apply_owns_fields_and_prunes_what_is_left_out(self, core: client.CoreV1Api) -> None:
        def apply(manager: str, force: bool = False, **data: str) -> client.V1ConfigMap:
            whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}, "data": data}
            kind, options = "application/apply-patch+yaml", {"field_manager": manager, "force": force}
            return core.patch_namespaced_config_map("owned", NAMESPACE, whole, _content_type=kind, **options)

        assert [entry.manager for entry in apply("one", k="1").metadata.managed_fields] == ["one"]
        assert refusal(lambda: apply("two", k="2")) == (409, "Conflict")
        assert apply("one", z="1").data == {"z": "1"}
        assert apply("two", force=True, z="2").data == {"z": "2"}


class TestListing:
    @pytest.mark.parametrize(
        ("selector", "names"),
        [
            ("run=a", ["j1"]),
            ("run!=a", ["j2", "j3"]),
            ("run in (a,b)", ["j1", "j2"]),
            ("run notin (a)", ["j2", "j3"]),
            ("run", ["j1", "j2"]),
            ("!run", ["j3"]),
            ("run=a,!extra", ["j1"]),
        ],
    )
    def test_labels_select(self, batch: client.BatchV1Api, selector: str, names: list[str]) -> None:
        for name, labels in (("j1", {"run": "a"}), ("j2", {"run": "b", "extra": ""}), ("j3", {})):
            manifest = job(name, suspend=True)
            manifest["metadata"]["labels"] = labels
            batch.create_namespaced_job(NAMESPACE, manifest)
        found = batch.list_namespaced_job(NAMESPACE, label_selector=selector).items
        assert [one.metadata.name for one in found] == names

    def test_fields_select(self, core: client.CoreV1Api) -> None:
        core.create_namespaced_config_map(NAMESPACE, settings("a"))
        core.create_namespaced_config_map(NAMESPACE, settings("b"))
        found = core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=b").items
        assert [one.metadata.name for one in found] == ["b"]
        wrong = refusal(lambda: core.list_namespaced_config_map(NAMESPACE, field_selector="data.k=v"))
        assert wrong == (400, "BadRequest")

    def test_long_lists_come_in_pages(self, core: client.CoreV1Api) -> None:
        for number in range(5):
            core.create_namespaced_config_map(NAMESPACE, settings(f"c{number}"))
        first = core.list_namespaced_config_map(NAMESPACE, label_selector="made=here", limit=3)
        assert first.metadata.remaining_item_count == 2
        token = first.metadata._continue
        rest = core.list_namespaced_config_map(NAMESPACE, label_selector="made=here", limit=3, _continue=token)
        assert [one.metadata.name for one in first.items + rest.items] == [f"c{number}" for number in range(5)]

    def test_the_dynamic_client_discovers_kinds(self, cluster: Cluster) -> None:
        found = dynamic.DynamicClient(config.new_client_from_config(str(cluster.kubeconfig)))
        jobs = found.resources.get(api_version="batch/v1", kind="Job")
        assert (jobs.name, len(jobs.get(namespace=NAMESPACE).items)) == ("jobs", 0)

    def test_manifests_are_created_by_their_kind(self, core: client.CoreV1Api) -> None:
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "u"}}
        utils.create_from_dict(core.api_client, manifest, namespace=NAMESPACE)
        assert core.read_namespaced_config_map("u", NAMESPACE).metadata.name == "u"


class TestDeleting:
    def test_a_precondition_protects_another_object(self, core: client.CoreV1Api) -> None:
        core.create_namespaced_config_map(NAMESPACE, settings("a"))
        other = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
        assert refusal(lambda: core.delete_namespaced_config_map("a", NAMESPACE, body=other)) == (409, "Conflict")

    def test_a_collection_goes_by_its_labels(self, core: client.CoreV1Api) -> None:
        core.create_namespaced_config_map(NAMESPACE, settings("gone"))
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "kept"}})
        core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="made=here")
        left = [one.metadata.name for one in core.list_namespaced_config_map(NAMESPACE).items]
        assert left == ["kept", "kube-root-ca.crt"]

    def test_a_job_deleted_without_a_word_leaves_its_pods(self, cluster: Cluster, batch: client.BatchV1Api) -> None:
        batch.create_namespaced_job(NAMESPACE, job("parent", "sleep 60"))
        cluster.wait(lambda: cluster.list("pods"))
        batch.delete_namespaced_job("parent", NAMESPACE)
        cluster.wait(lambda: not cluster.list("pods")[0]["metadata"].get("finalizers"))
        assert "ownerReferences" not in cluster.list("pods")[0]["metadata"]

    def test_what_an_object_owns_goes_with_it(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        owner = core.create_namespaced_config_map(NAMESPACE, settings("owner"))
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "owned", "ownerReferences": [reference]}})
        core.delete_namespaced_config_map("owner", NAMESPACE)
        cluster.wait(lambda: not cluster.exists("configmaps", "owned"))

    def test_an_owner_that_is_not_there_cannot_keep_an_object(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "past", "uid": "gone"}
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "stray", "ownerReferences": [reference]}})
        cluster.wait(lambda: not cluster.exists("configmaps", "stray"))

    def test_a_namespace_takes_all_that_is_in_it(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        core.create_namespace({"metadata": {"name": "team"}})
        core.create_namespaced_config_map("team", settings("a"))
        core.delete_namespace("team")
        cluster.wait(lambda: not cluster.exists("namespaces", "team"))
        assert cluster.list("configmaps", "team") == []


class TestWatching:
    @pytest.fixture
    def changes(self, core: client.CoreV1Api) -> Iterator[Callable[[], None]]:
        """A function that creates, relabels and deletes a ConfigMap a moment later."""
        threads: list[threading.Thread] = []

        def work() -> None:
            time.sleep(0.2)
            core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "b", "labels": {"w": "1"}}})
            core.patch_namespaced_config_map("b", NAMESPACE, {"metadata": {"labels": {"w": "2"}}})
            core.delete_namespaced_config_map("b", NAMESPACE)

        def start() -> None:
            threads.append(threading.Thread(target=work))
            threads[0].start()

        yield start
        threads[0].join()

    def watched(self, core: client.CoreV1Api, **options: Any) -> list[str]:
        version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
        stream = watch.Watch().stream(
            core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=1, **options
        )
        return [event["type"] for event in stream]

    def test_changes_after_a_version_are_seen(self, core: client.CoreV1Api, changes: Callable[[], None]) -> None:
        changes()
        assert self.watched(core) == ["ADDED", "MODIFIED", "DELETED"]

    def test_an_object_that_leaves_the_selection_is_deleted_for_it(
        self, core: client.CoreV1Api, changes: Callable[[], None]
    ) -> None:
        changes()
        assert self.watched(core, label_selector="w=1") == ["ADDED", "DELETED"]

    def test_a_streaming_list_ends_with_a_bookmark(self, core: client.CoreV1Api) -> None:
        core.create_namespaced_config_map(NAMESPACE, settings("a"))
        options = {"send_initial_events": True, "allow_watch_bookmarks": True}
        answer = core.list_namespaced_config_map(
            NAMESPACE,
            watch=True,
            resource_version_match="NotOlderThan",
            timeout_seconds=1,
            _preload_content=False,
            **options,
        )
        events = [json.loads(line) for line in answer.data.decode().splitlines()]
        assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
        assert events[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    def test_a_version_that_was_compacted_is_gone(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
        core.create_namespaced_config_map(NAMESPACE, settings("a"))
        cluster.expire_history()
        stream = watch.Watch().stream(
            core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=1
        )
        with pytest.raises(ApiException) as refused:
            list(stream)
        assert refused.value.status == 410
