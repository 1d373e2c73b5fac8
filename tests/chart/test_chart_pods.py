"""Security, environment, resources and placement of pods."""

from typing import Any

import pytest
from chart_rendering import EXAMPLES, environment, render

from skutune.pipeline.graph import CLUSTER_STAGES

TOKEN = "HF_TOKEN"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_pod_complies_with_the_restricted_pod_security_standard(example: str) -> None:
    for name, pod in render(example).pods():
        assert restricted_violations(pod["spec"]) == [], name


def restricted_violations(spec: dict[str, Any]) -> list[str]:
    """Violations of the restricted Pod Security Standard by a Linux pod without init containers."""
    context = spec.get("securityContext", {})
    found = [f"{key}: true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    found += [f"volume {volume['name']}" for volume in spec["volumes"] if not VOLUMES & set(volume)]
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        if not own.get("runAsNonRoot", context.get("runAsNonRoot")):
            found.append("may run as root")
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            found.append("may gain privileges")
        if own.get("capabilities") != {"drop": ["ALL"]}:
            found.append("keeps capabilities")
        if own.get("seccompProfile", context.get("seccompProfile", {})).get("type") != "RuntimeDefault":
            found.append("no seccomp profile")
        if 0 in (own.get("runAsUser"), context.get("runAsUser")) or any("hostPort" in p for p in own.get("ports", [])):
            found.append("root or a port of the host")
    return found


def test_the_pod_security_check_finds_violations() -> None:
    loose = {"security": {"containerSecurityContext": {"allowPrivilegeEscalation": True}}}
    found = [restricted_violations(pod["spec"]) for _, pod in render(changes=loose).pods()]
    assert all("may gain privileges" in each for each in found)
    assert found


@pytest.mark.parametrize("example", EXAMPLES)
def test_only_the_controller_mounts_an_api_token(example: str) -> None:
    for name, pod in render(example).pods():
        is_controller = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "controller"
        assert pod["spec"]["automountServiceAccountToken"] is is_controller, name


def test_stages_and_controller_use_different_accounts_without_automounted_tokens() -> None:
    rendered = render()
    accounts = {name: pod["spec"]["serviceAccountName"] for name, pod in rendered.pods()}
    assert set(accounts.values()) == {"fall-skutune-controller", "fall-skutune-stages"}
    assert [account for name, account in accounts.items() if name.startswith("Job")] == ["fall-skutune-controller"]
    assert all(account["automountServiceAccountToken"] is False for account in rendered.of("ServiceAccount"))


@pytest.mark.parametrize("example", [name for name in EXAMPLES if name not in ("kind-cpu", "kueue")])
def test_every_pod_with_devices_has_requests_and_a_node_selector(example: str) -> None:
    rendered = render(example)
    with_devices = [name for name, plan in rendered.controller_file()["cluster"]["stages"].items() if plan["devices"]]
    assert with_devices == [name for name, stage in CLUSTER_STAGES.items() if stage.image != "controller"]
    for name in with_devices:
        spec, resources = rendered.stage(name)["template"]["spec"], rendered.worker(name)["resources"]
        devices = str(rendered.controller_file()["cluster"]["stages"][name]["devices"])
        assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == devices
        assert spec["nodeSelector"], name
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]


def test_a_pod_without_devices_has_no_device_request_and_no_placement() -> None:
    rendered = render()
    for name in ("models", "ingest", "distinct", "compose", "report"):
        spec = rendered.stage(name)["template"]["spec"]
        assert "nodeSelector" not in spec
        assert "tolerations" not in spec
        assert "nvidia.com/gpu" not in str(rendered.worker(name)["resources"])


def test_a_budget_of_zero_makes_every_stage_a_cpu_stage() -> None:
    rendered = render("kind-cpu")
    assert "nvidia.com/gpu" not in str([pod for _, pod in rendered.pods()])
    assert {plan["devices"] for plan in rendered.controller_file()["cluster"]["stages"].values()} == {0}
    assert environment(rendered.worker("describe"))["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "NVIDIA_VISIBLE_DEVICES" not in environment(render().worker("describe"))


def test_kueue_selects_the_nodes_if_the_node_selector_is_removed() -> None:
    rendered = render("kueue")
    assert all("nodeSelector" not in item["template"]["spec"] for item in rendered.of("PodTemplate"))
    labels = [item["template"]["metadata"]["labels"] for item in rendered.of("PodTemplate")]
    assert {each["kueue.x-k8s.io/queue-name"] for each in labels} == {"team-search"}
    assert "kueue.x-k8s.io/queue-name" not in str(render())


def test_pods_that_load_models_have_their_own_dev_shm() -> None:
    rendered = render(changes={"stages": {"finetune": {"shmSize": "32Gi"}}})
    for name, stage in CLUSTER_STAGES.items():
        volumes = {volume["name"]: volume for volume in rendered.stage(name)["template"]["spec"]["volumes"]}
        mounts = {mount["mountPath"] for mount in rendered.worker(name)["volumeMounts"]}
        assert ("/dev/shm" in mounts) is (stage.image != "controller")
        if "shm" in volumes:
            size = "32Gi" if name == "finetune" else "8Gi"
            assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": size}


@pytest.mark.parametrize("example", EXAMPLES)
def test_all_writable_paths_are_on_volumes(example: str) -> None:
    """The root filesystem is read-only, and the user may be any."""
    for name, pod in render(example).pods():
        container = pod["spec"]["containers"][0]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        mounts = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        written = ["HOME", "TMPDIR", "SKUTUNE_CACHE", "HF_HOME", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT"]
        written += ["TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"]
        for variable in set(written) & set(environment(container)):
            path = environment(container)[variable]
            assert any(path == mount or path.startswith(f"{mount}/") for mount in mounts), f"{name}: {variable}"


def test_the_cache_is_an_emptydir_a_pvc_or_an_image() -> None:
    def volume(rendered: Any, name: str) -> Any:
        found = {each["name"]: each for each in rendered.stage("describe")["template"]["spec"]["volumes"]}
        return found.get(name)

    assert volume(render(), "cache")["emptyDir"] == {"sizeLimit": "60Gi"}
    assert volume(render("8-gpus-nodes"), "cache")["persistentVolumeClaim"] == {"claimName": "model-cache"}
    gapped = render("air-gapped")
    assert volume(gapped, "models")["image"]["reference"].startswith("registry.internal.example:5000/models/")
    mounts = {mount["name"]: mount for mount in gapped.worker("describe")["volumeMounts"]}
    assert mounts["models"] == {"name": "models", "mountPath": "/models", "readOnly": True}
    assert volume(render(), "models") is None
    with_models = [
        name for name in CLUSTER_STAGES if "models" in str(gapped.stage(name)["template"]["spec"]["volumes"])
    ]
    assert with_models == [
        name for name, stage in CLUSTER_STAGES.items() if stage.image != "controller" or name == "models"
    ]


def test_only_the_stage_models_accesses_the_hub() -> None:
    rendered = render(changes={"hub": {"endpoint": "https://hub.example.com"}})
    for name, pod in rendered.pods():
        variables = environment(pod["spec"]["containers"][0])
        if "-skutune-models-" in name:
            assert variables[TOKEN] == {"secretKeyRef": {"name": "hub-token", "key": "token"}}
            assert variables["HF_ENDPOINT"] == "https://hub.example.com"
            assert "HF_HUB_OFFLINE" not in variables
        else:
            assert "hub-token" not in str(pod), name
            assert "HF_ENDPOINT" not in variables
    offline = [name for name in CLUSTER_STAGES if "HF_HUB_OFFLINE" in environment(rendered.worker(name))]
    assert offline == [name for name in CLUSTER_STAGES if name != "models"]


def test_every_pod_gets_the_stores_keys_from_the_secret() -> None:
    changes = {"store": {"secretKeys": {"accessKeyId": "id", "secretAccessKey": "secret", "sessionToken": "session"}}}
    for _, pod in render(changes=changes).pods():
        variables = environment(pod["spec"]["containers"][0])
        for variable, key in zip((*KEYS, "AWS_SESSION_TOKEN"), ("id", "secret", "session"), strict=True):
            assert variables[variable] == {"secretKeyRef": {"name": "store-credentials", "key": key}}
        assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "eu-central-1"


def test_workload_identity_uses_annotated_accounts_without_keys() -> None:
    rendered = render("8-gpus-nodes")
    for _, pod in rendered.pods():
        assert not set(KEYS) & set(environment(pod["spec"]["containers"][0]))
    for account in rendered.of("ServiceAccount"):
        assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith("role/skutune")


def test_a_ca_bundle_is_mounted_and_configured() -> None:
    changes = {"store": {"caBundle": {"configMap": "", "secret": "ca-secret", "key": "tls.crt"}}}
    for values, source in ((None, "configMap"), (changes, "secret")):
        for _, pod in render("air-gapped", values).pods():
            container = pod["spec"]["containers"][0]
            assert environment(container)["AWS_CA_BUNDLE"] == "/etc/skutune-ca/ca.crt"
            assert "/etc/skutune-ca" in {mount["mountPath"] for mount in container["volumeMounts"]}
            volume = next(each for each in pod["spec"]["volumes"] if each["name"] == "store-ca")
            assert volume[source]["items"][0]["path"] == "ca.crt"


def test_extra_env_overrides_the_charts_variables_and_a_stages_overrides_the_releases() -> None:
    changes = {
        "extraEnv": [{"name": "OMP_NUM_THREADS", "value": "3"}, {"name": "TEAM", "value": "search"}],
        "stages": {"embed": {"extraEnv": [{"name": "OMP_NUM_THREADS", "value": "5"}]}},
    }
    rendered = render(changes=changes)
    assert environment(rendered.worker("describe"))["OMP_NUM_THREADS"] == "3"
    assert environment(rendered.worker("embed"))["OMP_NUM_THREADS"] == "5"
    assert all(environment(pod["spec"]["containers"][0])["TEAM"] == "search" for _, pod in rendered.pods())


def test_threads_per_process_are_the_pods_cores_divided_by_its_processes() -> None:
    changes = {
        "stages": {
            "embed": {"resources": {"requests": {"cpu": "1500m"}}},
            "link": {"resources": {"requests": {"cpu": 6}}},
        }
    }
    rendered = render(changes=changes)
    threads = {name: environment(rendered.worker(name)).get("OMP_NUM_THREADS") for name in CLUSTER_STAGES}
    assert (threads["describe"], threads["embed"], threads["link"]) == ("4", "1", "6")
    assert threads["finetune"] == "4"  # 32 cores, eight processes
    assert threads["ingest"] is None


def test_stage_pods_are_exempt_from_autoscalers_and_sidecar_injection() -> None:
    rendered = render()
    for name in CLUSTER_STAGES:
        metadata = rendered.stage(name)["template"]["metadata"]
        assert metadata["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
        assert metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
        assert metadata["annotations"]["sidecar.istio.io/inject"] == metadata["labels"]["sidecar.istio.io/inject"]


def test_every_pod_keeps_its_termination_message_and_requests_disk() -> None:
    for name, pod in render().pods():
        container = pod["spec"]["containers"][0]
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", name
        assert "ephemeral-storage" in container["resources"]["requests"], name
        assert pod["spec"]["restartPolicy"] == "Never"
        assert pod["spec"]["enableServiceLinks"] is False
    assert render("spot").stage("describe")["template"]["spec"]["terminationGracePeriodSeconds"] == 90


def test_the_default_memory_limit_is_the_request() -> None:
    changes = {"stages": {"embed": {"resources": {"requests": {"memory": "9Gi"}}}}}
    rendered = render(changes=changes)
    assert rendered.worker("embed")["resources"]["limits"]["memory"] == "9Gi"
    assert rendered.worker("finetune")["resources"]["requests"]["memory"] == "256Gi"
    assert render("kind-cpu").worker("embed")["resources"]["limits"] == {"memory": "2Gi"}


def test_a_stages_own_placement_replaces_the_defaults() -> None:
    rendered = render(
        "8-gpus-nodes",
        {
            "defaults": {"nodeSelector": {"zone": "a"}, "tolerations": [{"key": "batch", "operator": "Exists"}]},
            "stages": {"embed": {"tolerations": [], "affinity": {"podAffinity": {}}}},
        },
    )
    assert rendered.stage("evaluate")["template"]["spec"]["nodeSelector"] == {"example.com/pool": "l4"}
    describe = rendered.stage("describe")["template"]["spec"]
    selector = {"zone": "a", "nvidia.com/gpu.present": "true", "example.com/pool": "a10-pairs"}
    assert describe["nodeSelector"] == selector
    assert [each["key"] for each in describe["tolerations"]] == ["batch", "nvidia.com/gpu"]
    assert rendered.stage("ingest")["template"]["spec"]["nodeSelector"] == {"zone": "a"}
    assert "tolerations" not in rendered.stage("embed")["template"]["spec"]
    assert rendered.stage("embed")["template"]["spec"]["affinity"] == {"podAffinity": {}}


def test_images_use_the_digest_or_the_charts_version() -> None:
    assert render().worker("describe")["image"] == "registry.example.com/ml/skutune-generate:0.1.0"
    gapped = render("air-gapped")
    for name, stage in CLUSTER_STAGES.items():
        prefix = f"registry.internal.example:5000/ml/skutune-{stage.image}@sha256:"
        assert gapped.worker(name)["image"].startswith(prefix)
    assert all(pod["spec"]["imagePullSecrets"] == [{"name": "registry-internal"}] for _, pod in gapped.pods())


def test_pods_with_devices_have_the_runtime_class() -> None:
    rendered = render(changes={"gpu": {"runtimeClassName": "nvidia"}})
    classes = {name: rendered.stage(name)["template"]["spec"].get("runtimeClassName") for name in CLUSTER_STAGES}
    assert classes["describe"] == classes["finetune"] == "nvidia"
    assert classes["ingest"] is None


def test_extra_volumes_and_annotations_apply_to_all_pods_or_one_stage() -> None:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "catalogs"}}
    changes = {
        "extraVolumes": [volume],
        "extraVolumeMounts": [{"name": "data", "mountPath": "/data"}],
        "priorityClassName": "batch",
        "podAnnotations": {"team": "search"},
        "stages": {
            "embed": {
                "extraVolumes": [{"name": "more", "emptyDir": {}}],
                "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
                "podAnnotations": {"team": "vectors"},
                "priorityClassName": "high",
            }
        },
    }
    rendered = render(changes=changes)
    assert all(volume in pod["spec"]["volumes"] for _, pod in rendered.pods())
    assert all(pod["spec"]["priorityClassName"] in ("batch", "high") for _, pod in rendered.pods())
    embed = rendered.stage("embed")["template"]
    assert embed["metadata"]["annotations"]["team"] == "vectors"
    assert embed["spec"]["priorityClassName"] == "high"
    assert {"/data", "/more"} <= {mount["mountPath"] for mount in rendered.worker("embed")["volumeMounts"]}


def test_the_settings_that_a_bucket_demands_reach_every_pod() -> None:
    changes = {
        "store": {
            "encryption": {"algorithm": "aws:kms", "kmsKeyId": "key/1"},
            "requestPayer": "requester",
            "checksumAlgorithm": "SHA256",
        }
    }
    expected = {
        "SKUTUNE_S3_ENCRYPTION": "aws:kms",
        "SKUTUNE_S3_KMS_KEY_ID": "key/1",
        "SKUTUNE_S3_REQUEST_PAYER": "requester",
        "SKUTUNE_S3_CHECKSUM_ALGORITHM": "SHA256",
    }
    pods = list(render(changes=changes).pods())
    assert pods
    for name, pod in pods:
        assert expected.items() <= environment(pod["spec"]["containers"][0]).items(), name
    assert not any(set(expected) & set(environment(pod["spec"]["containers"][0])) for _, pod in render().pods())
