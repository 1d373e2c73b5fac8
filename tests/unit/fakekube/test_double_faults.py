"""Ordered trouble arrives once, where it was ordered, and looks to the official client like a server's."""

from __future__ import annotations

import time
from typing import Any

import pytest
import urllib3
from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

from tests.fakekube import Cluster

NAMESPACE = "default"


@pytest.fixture
def core(cluster: Cluster) -> client.CoreV1Api:
    """A client that does not retry by itself."""
    api = config.new_client_from_config(str(cluster.kubeconfig))
    settings = api.configuration
    settings.retries = urllib3.Retry(total=0, raise_on_status=False)
    return client.CoreV1Api(client.ApiClient(settings))


def names(core: client.CoreV1Api) -> set[str]:
    return {one.metadata.name for one in core.list_namespaced_config_map(NAMESPACE).items}


def events(core: client.CoreV1Api, seconds: float = 1, **options: Any) -> list[str]:
    """What one watch sends until it ends, as text."""
    answer = core.list_namespaced_config_map(
        NAMESPACE, watch=True, timeout_seconds=int(seconds), _preload_content=False, **options
    )
    return [line.decode() for line in answer.stream()]


class TestRequests:
    @pytest.mark.parametrize("code", [409, 410, 429, 500, 503])
    def test_the_next_requests_that_fit_get_the_code_and_do_nothing(
        self, cluster: Cluster, core: client.CoreV1Api, code: int
    ) -> None:
        cluster.faults.answer(code, verb="create", resource="configmaps", times=2)
        for _ in range(2):
            with pytest.raises(ApiException) as refused:
                core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "a"}})
            assert refused.value.status == code
        assert not cluster.exists("configmaps", "a")
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "a"}})
        assert cluster.faults.served == 2

    def test_other_requests_are_served(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        cluster.faults.answer(503, verb="get", resource="configmaps", name="a")
        assert names(core) == {"kube-root-ca.crt"}
        core.read_namespaced_config_map("kube-root-ca.crt", NAMESPACE)
        assert cluster.faults.served == 0

    def test_trouble_can_be_one_users_own(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        cluster.faults.answer(503, user=":default:robot")
        names(core)
        robot = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig_for("robot"))))
        with pytest.raises(ApiException) as refused:
            names(robot)
        assert refused.value.status == 503

    def test_throttling_says_when_to_come_again(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        cluster.faults.answer(429, retry_after_seconds=3)
        with pytest.raises(ApiException) as refused:
            names(core)
        assert refused.value.headers["Retry-After"] == "3"

    def test_a_request_that_is_cut_after_its_work_was_done_all_the_same(
        self, cluster: Cluster, core: client.CoreV1Api
    ) -> None:
        cluster.faults.cut(verb="create", resource="configmaps")
        with pytest.raises(urllib3.exceptions.HTTPError):
            core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "a"}})
        assert cluster.exists("configmaps", "a")

    def test_a_request_that_is_cut_before_was_not(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        cluster.faults.cut(verb="create", resource="configmaps", when="before")
        with pytest.raises(urllib3.exceptions.HTTPError):
            core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "a"}})
        assert not cluster.exists("configmaps", "a")

    def test_a_paused_server_answers_afterwards(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        with cluster.faults.pause(), pytest.raises(urllib3.exceptions.HTTPError):
            core.list_namespaced_config_map(NAMESPACE, _request_timeout=0.3)
        assert names(core) == {"kube-root-ca.crt"}


class TestWatches:
    def test_a_watch_ends_early_and_properly(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        started = time.monotonic()
        cluster.faults.end_watches(resource="configmaps")
        assert len(events(core, 20)) == 1
        assert time.monotonic() - started < 5

    def test_a_watch_is_cut_without_its_last_chunk(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        cluster.faults.end_watches("cut", resource="configmaps")
        with pytest.raises(urllib3.exceptions.ProtocolError):
            events(core, 20)

    def test_a_watch_is_told_that_its_version_is_too_old(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        cluster.faults.end_watches("expired", resource="configmaps", times=9)
        version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
        stream = watch.Watch().stream(
            core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=5
        )
        with pytest.raises(ApiException) as refused:
            list(stream)
        assert refused.value.status == 410

    def test_a_silent_watch_says_nothing_more(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        cluster.faults.end_watches("silent", resource="configmaps")
        version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "unseen"}})
        started = time.monotonic()
        assert events(core, 2, resource_version=version) == []
        assert time.monotonic() - started >= 1

    def test_an_open_watch_ends_too(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        answer = core.list_namespaced_config_map(NAMESPACE, watch=True, timeout_seconds=30, _preload_content=False)
        stream = answer.stream()
        assert b"kube-root-ca.crt" in next(stream)
        started = time.monotonic()
        cluster.faults.end_watches("end", resource="configmaps")
        assert list(stream) == []
        assert time.monotonic() - started < 5

    def test_events_come_twice(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        cluster.faults.disturb_events(resource="configmaps", copies=3)
        sent = "".join(events(core))
        assert sent.count('"type": "ADDED"') == 3

    def test_events_come_late(self, cluster: Cluster, core: client.CoreV1Api) -> None:
        cluster.faults.disturb_events(resource="configmaps", delay_seconds=0.5)
        started = time.monotonic()
        answer = core.list_namespaced_config_map(NAMESPACE, watch=True, timeout_seconds=5, _preload_content=False)
        next(answer.stream())
        assert time.monotonic() - started >= 0.5


def test_calls_are_counted_by_verb_resource_and_user(cluster: Cluster, core: client.CoreV1Api) -> None:
    names(core)
    names(core)
    core.read_namespaced_config_map("kube-root-ca.crt", NAMESPACE)
    assert cluster.calls["list", "configmaps", "admin"] == 2
    assert cluster.calls.total(resource="configmaps") == 3
    assert cluster.calls.total(verb="get", user="admin") == 1
