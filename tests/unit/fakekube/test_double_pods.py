"""Pods run as processes with the image, environment and files that they declare, and report as a kubelet does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from workloads import container_state, end_of, events_about, job, phase_of, pod, pods_of, wait_for_phase

from tests.fakekube import Cluster, Image

TOOLS = "registry.example/tools"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def environment_of(cluster: Cluster, **container: Any) -> dict[str, str]:
    """What `env` prints in a pod with this container."""
    cluster.create(pod("shown", "env", container=container))
    wait_for_phase(cluster, "shown", "Succeeded")
    return dict(line.split("=", 1) for line in cluster.logs("shown").splitlines())


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Image]:
    """One image with a command of its own."""
    command = tmp_path / "bin" / "hello"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho hello from $WHERE with $@\n")
    command.chmod(0o755)
    return {TOOLS: Image(path=command.parent, env={"WHERE": "the image"}, command=["hello", "nobody"])}


class TestImages:
    def test_a_command_is_found_on_the_images_path(self, images: dict[str, Image]) -> None:
        with Cluster(images=images) as cluster:
            cluster.create(pod("worker", container={"image": f"{TOOLS}:1.0", "command": ["hello"], "args": ["args"]}))
            wait_for_phase(cluster, "worker", "Succeeded")
            assert cluster.logs("worker") == "hello from the image with args\n"

    def test_arguments_go_to_the_images_own_command(self, images: dict[str, Image]) -> None:
        with Cluster(images=images) as cluster:
            container = {"image": f"{TOOLS}@sha256:{'0' * 64}", "command": None, "args": ["and", "more"]}
            cluster.create(pod("worker", container=container))
            wait_for_phase(cluster, "worker", "Succeeded")
            assert cluster.logs("worker") == "hello from the image with nobody and more\n"

    def test_an_unknown_image_cannot_be_pulled_until_it_is_there(self, images: dict[str, Image]) -> None:
        with Cluster(images=images) as cluster:
            cluster.create(pod("worker", container={"image": "registry.example/late:1", "command": ["true"]}))
            reasons = set()

            def backs_off() -> bool:
                reasons.add(container_state(cluster.get("pods", "worker"))["waiting"]["reason"])
                return "ImagePullBackOff" in reasons

            cluster.wait(lambda: cluster.get("pods", "worker")["status"].get("containerStatuses"))
            cluster.wait(backs_off)
            assert phase_of(cluster, "worker") == "Pending"
            assert any("registry.example/late:1: not found" in text for _, text in events_about(cluster, "worker"))
            images["registry.example/late"] = Image()
            wait_for_phase(cluster, "worker", "Succeeded")

    def test_pods_that_listen_get_ports_of_their_own(self) -> None:
        with Cluster(images={TOOLS: Image(own_ports=["PORT"])}) as cluster:
            for name in ("one", "two"):
                cluster.create(pod(name, "sleep 60", container={"image": TOOLS}))
                wait_for_phase(cluster, name, "Running")
            ports = {int(cluster.environment_of(name)["PORT"]) for name in ("one", "two")}
        assert len(ports) == 2

    def test_a_command_that_is_not_there_fails_with_128(self, cluster: Cluster) -> None:
        cluster.create(job("wrong", backoffLimit=0, pod_spec={"container": {"command": ["/no/such"]}}))
        assert end_of(cluster, "wrong") == "Failed"
        ended = container_state(pods_of(cluster, "wrong")[0])["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (128, "StartError")


class TestEnvironment:
    def test_nothing_of_this_machine_gets_in(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_OF_THE_MACHINE", "x")
        assert set(environment_of(cluster)) <= {"PATH", "HOME", "HOSTNAME", "KUBECONFIG", "PWD", "_", "SHLVL", "OLDPWD"}

    def test_variables_refer_to_earlier_ones(self, cluster: Cluster) -> None:
        variables = [
            {"name": "FIRST", "value": "1"},
            {"name": "SECOND", "value": "$(FIRST)2"},
            {"name": "LITERAL", "value": "$$(FIRST)"},
            {"name": "UNKNOWN", "value": "$(NOBODY)"},
        ]
        found = environment_of(cluster, env=variables)
        assert {name: found[name] for name in ("SECOND", "LITERAL", "UNKNOWN")} == {
            "SECOND": "12",
            "LITERAL": "$(FIRST)",
            "UNKNOWN": "$(NOBODY)",
        }

    def test_secrets_and_config_maps_fill_it(self, cluster: Cluster) -> None:
        cluster.create(secret("keys", AWS_ACCESS_KEY_ID="writer"))
        cluster.create(config_map("settings", level="info"))
        sources = [{"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "settings"}, "prefix": "LOG_"}]
        one = {"name": "ONE", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "AWS_ACCESS_KEY_ID"}}}
        missing = {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k", "optional": True}}}
        found = environment_of(cluster, envFrom=sources, env=[one, missing])
        assert (found["AWS_ACCESS_KEY_ID"], found["LOG_level"], found["ONE"]) == ("writer", "info", "writer")
        assert "NONE" not in found

    def test_the_downward_api_tells_a_pod_about_itself(self, cluster: Cluster) -> None:
        def field(name: str, path: str) -> dict[str, Any]:
            return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

        limit = {"resource": "limits.memory", "divisor": "1Mi"}
        variables = [
            field("NAME", "metadata.name"),
            field("NAMESPACE", "metadata.namespace"),
            field("NODE", "spec.nodeName"),
            field("RUN", "metadata.labels['skutune.io/run']"),
            {"name": "MEMORY", "valueFrom": {"resourceFieldRef": limit}},
        ]
        manifest = pod("told", "env", container={"env": variables, "resources": {"limits": {"memory": "2Gi"}}})
        manifest["metadata"]["labels"] = {"skutune.io/run": "grocery"}
        cluster.create(manifest)
        wait_for_phase(cluster, "told", "Succeeded")
        found = dict(line.split("=", 1) for line in cluster.logs("told").splitlines())
        assert [found[name] for name in ("NAME", "NAMESPACE", "NODE", "RUN", "MEMORY")] == [
            "told",
            "default",
            "node-1",
            "grocery",
            "2048",
        ]

    @pytest.mark.parametrize("reference", ["configMapKeyRef", "secretKeyRef"])
    def test_a_missing_reference_holds_the_pod_until_it_is_there(self, cluster: Cluster, reference: str) -> None:
        variable = {"name": "A", "valueFrom": {reference: {"name": "later", "key": "k"}}}
        cluster.create(pod("worker", "test $A = v", container={"env": [variable]}))
        cluster.wait(lambda: cluster.get("pods", "worker")["status"].get("containerStatuses"))
        assert container_state(cluster.get("pods", "worker"))["waiting"]["reason"] == "CreateContainerConfigError"
        cluster.create(config_map("later", k="v") if reference == "configMapKeyRef" else secret("later", k="v"))
        wait_for_phase(cluster, "worker", "Succeeded")

    def test_a_home_below_a_read_only_root_cannot_be_written(self, cluster: Cluster) -> None:
        container = {"securityContext": {"readOnlyRootFilesystem": True}}
        cluster.create(pod("careless", 'mkdir -p "$HOME/.cache"', container=container))
        wait_for_phase(cluster, "careless", "Failed")

    def test_the_host_name_of_a_peer_is_this_machine(self, cluster: Cluster) -> None:
        script = "echo $PEER"
        variables = [{"name": "PEER", "value": "fit-a1-0.training:29500"}]
        cluster.create(job("fit-a1", script, {"subdomain": "training", "container": {"env": variables}}))
        end_of(cluster, "fit-a1")
        assert cluster.logs(pods_of(cluster, "fit-a1")[0]["metadata"]["name"]) == "127.0.0.1:29500\n"


class TestVolumes:
    def test_mounted_files_are_found_under_their_paths(self, cluster: Cluster) -> None:
        cluster.create(config_map("settings", **{"controller.yaml": "release: r\n"}))
        cluster.create(secret("keys", token="t"))
        volumes = [
            {"name": "config", "configMap": {"name": "settings"}},
            {"name": "keys", "secret": {"secretName": "keys", "items": [{"key": "token", "path": "hub/token"}]}},
            {"name": "work", "emptyDir": {}},
        ]
        mounts = [
            {"name": "config", "mountPath": "/etc/skutune"},
            {"name": "keys", "mountPath": "/keys"},
            {"name": "work", "mountPath": "/cache"},
        ]
        script = "cat /etc/skutune/controller.yaml /keys/hub/token; echo x > $CACHE/file; ls /cache; echo $URI"
        variables = [{"name": "CACHE", "value": "/cache"}, {"name": "URI", "value": "s3://bucket/cache/part"}]
        cluster.create(pod("reader", script, volumes=volumes, container={"volumeMounts": mounts, "env": variables}))
        wait_for_phase(cluster, "reader", "Succeeded")
        assert cluster.logs("reader") == "release: r\ntfile\ns3://bucket/cache/part\n"

    def test_a_path_that_only_begins_like_a_mount_is_left_alone(self, cluster: Cluster) -> None:
        container = {"volumeMounts": [{"name": "v", "mountPath": "/tmp"}], "args": None}
        cluster.create(
            pod("w", "echo /tmpfile a/tmp /tmp", volumes=[{"name": "v", "emptyDir": {}}], container=container)
        )
        wait_for_phase(cluster, "w", "Succeeded")
        first, second, third = cluster.logs("w").split()
        assert (first, second) == ("/tmpfile", "a/tmp")
        assert third != "/tmp"

    def test_a_reference_to_a_rewritten_variable_is_rewritten_once(self, cluster: Cluster) -> None:
        container = {
            "volumeMounts": [{"name": "v", "mountPath": "/tmp"}],
            "env": [{"name": "TMPDIR", "value": "/tmp"}],
            "command": ["sh", "-c", "touch $(TMPDIR)/x && test -e $TMPDIR/x"],
        }
        cluster.create(pod("worker", volumes=[{"name": "v", "emptyDir": {}}], container=container))
        wait_for_phase(cluster, "worker", "Succeeded")

    def test_a_mount_hides_no_command_of_the_image(self, images: dict[str, Image]) -> None:
        container = {"image": TOOLS, "command": ["hello"], "volumeMounts": [{"name": "v", "mountPath": "/tmp"}]}
        with Cluster(images=images) as cluster:
            cluster.create(pod("worker", volumes=[{"name": "v", "emptyDir": {}}], container=container))
            wait_for_phase(cluster, "worker", "Succeeded")

    def test_projected_and_downward_volumes_are_files(self, cluster: Cluster) -> None:
        cluster.create(config_map("settings", a="1"))
        labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
        sources = [{"configMap": {"name": "settings"}}, {"downwardAPI": {"items": [labels]}}]
        container = {"volumeMounts": [{"name": "all", "mountPath": "/all"}]}
        manifest = pod(
            "reader",
            "cat /all/a /all/labels",
            volumes=[{"name": "all", "projected": {"sources": sources}}],
            container=container,
        )
        manifest["metadata"]["labels"] = {"k": "v"}
        cluster.create(manifest)
        wait_for_phase(cluster, "reader", "Succeeded")
        assert cluster.logs("reader") == '1k="v"'

    def test_a_claim_is_shared_between_pods(self, cluster: Cluster) -> None:
        cluster.create(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": {}}
        )
        volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]
        container = {"volumeMounts": [{"name": "models", "mountPath": "/models"}]}
        cluster.create(pod("writer", "echo weights > /models/w", volumes=volumes, container=container))
        wait_for_phase(cluster, "writer", "Succeeded")
        cluster.create(pod("reader", "cat /models/w", volumes=volumes, container=container))
        wait_for_phase(cluster, "reader", "Succeeded")
        assert cluster.logs("reader") == "weights\n"

    def test_a_claims_folder_can_be_filled_and_mounted_under_its_own_path(self, cluster: Cluster) -> None:
        cluster.create(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": {}}
        )
        folder = cluster.claim_folder("models")
        (folder / "weights").write_text("w")
        volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]
        container = {"volumeMounts": [{"name": "models", "mountPath": str(folder)}]}
        cluster.create(pod("reader", f"cat {folder}/weights", volumes=volumes, container=container))
        wait_for_phase(cluster, "reader", "Succeeded")
        assert cluster.logs("reader") == "w"

    def test_an_image_volume_shows_the_images_root(self, tmp_path: Path) -> None:
        (tmp_path / "weights").write_text("w")
        volumes = [{"name": "models", "image": {"reference": "registry.example/llama:1"}}]
        container = {"image": TOOLS, "volumeMounts": [{"name": "models", "mountPath": "/models"}]}
        images = {TOOLS: Image(), "registry.example/llama": Image(root=tmp_path)}
        with Cluster(images=images) as cluster:
            cluster.create(pod("reader", "cat /models/weights", volumes=volumes, container=container))
            wait_for_phase(cluster, "reader", "Succeeded")
            assert cluster.logs("reader") == "w"

    def test_a_missing_config_map_is_a_failed_mount(self, cluster: Cluster) -> None:
        cluster.create(pod("worker", volumes=[{"name": "config", "configMap": {"name": "later"}}]))
        told = ("FailedMount", 'MountVolume.SetUp failed for volume "config" : configmap "later" not found')
        cluster.wait(lambda: told in events_about(cluster, "worker"))
        assert container_state(cluster.get("pods", "worker")) == {"waiting": {"reason": "ContainerCreating"}}


class TestEnds:
    def test_the_last_words_are_the_termination_files(self, cluster: Cluster) -> None:
        cluster.create(pod("worker", "echo -n why > /dev/termination-log; exit 2"))
        assert container_state(wait_for_phase(cluster, "worker", "Failed"))["terminated"]["message"] == "why"

    def test_the_last_words_fall_back_to_the_end_of_the_log(self, cluster: Cluster) -> None:
        policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
        cluster.create(pod("worker", "seq 1 200; exit 10", container=policy))
        message = container_state(wait_for_phase(cluster, "worker", "Failed"))["terminated"]["message"]
        assert message.splitlines() == [str(number) for number in range(121, 201)]

    def test_a_success_needs_no_words(self, cluster: Cluster) -> None:
        cluster.create(pod("w", "echo fine", container={"terminationMessagePolicy": "FallbackToLogsOnError"}))
        assert "message" not in container_state(wait_for_phase(cluster, "w", "Succeeded"))["terminated"]

    def test_a_failed_init_container_ends_the_pod_before_it_begins(self, cluster: Cluster) -> None:
        initial = {"name": "i", "image": "x", "command": ["sh", "-c", "exit 4"]}
        cluster.create(pod("worker", "echo never", initContainers=[initial]))
        ended = wait_for_phase(cluster, "worker", "Failed")
        assert ended["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
        assert container_state(ended)["waiting"]["reason"] == "PodInitializing"

    def test_init_containers_come_first(self, cluster: Cluster) -> None:
        mount = {"volumeMounts": [{"name": "work", "mountPath": "/scratch"}]}
        initial = {
            "name": "i",
            "image": "x",
            "command": ["sh", "-c", "sleep 0.1; echo ready > /scratch/state"],
            **mount,
        }
        volumes = [{"name": "work", "emptyDir": {}}]
        cluster.create(pod("worker", "cat /scratch/state", initContainers=[initial], volumes=volumes, container=mount))
        wait_for_phase(cluster, "worker", "Succeeded")
        assert "ready\n" in cluster.logs("worker", container="m")

    def test_a_container_is_started_again_where_the_policy_says_so(self, cluster: Cluster) -> None:
        cluster.create(pod("worker", "test -e again || { touch again; exit 1; }", restartPolicy="OnFailure"))
        ended = wait_for_phase(cluster, "worker", "Succeeded")
        assert ended["status"]["containerStatuses"][0]["restartCount"] == 1


class TestCredentials:
    def test_a_pod_speaks_with_its_accounts_token(self, cluster: Cluster) -> None:
        cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "worker"}})
        cluster.create(pod("asker", "cat $KUBECONFIG", serviceAccountName="worker"))
        wait_for_phase(cluster, "asker", "Succeeded")
        assert json.loads(cluster.logs("asker"))["users"][0]["user"]["token"] == "sa:default:worker"

    @pytest.mark.parametrize("where", ["pod", "account"])
    def test_a_pod_that_must_not_ask_has_none(self, cluster: Cluster, where: str) -> None:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "worker"}}
        refuses = {"automountServiceAccountToken": False}
        cluster.create(account | (refuses if where == "account" else {}))
        cluster.create(pod("quiet", "env", serviceAccountName="worker", **(refuses if where == "pod" else {})))
        wait_for_phase(cluster, "quiet", "Succeeded")
        assert "KUBECONFIG" not in cluster.logs("quiet")
