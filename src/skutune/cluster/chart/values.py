"""Models of the chart's values, from which its schema, values.yaml and the README's table are generated.

The schema of `config` is that of `skutune.config.schema.Config`, so that a config file for a laptop can be used
unchanged. Keys are camelCase, as is usual in charts. Nothing here needs a cluster or its client.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from skutune.cluster.chart.access_values import Hub, Images, NetworkPolicy, Security, ServiceAccounts, StoreAccess
from skutune.cluster.chart.stage_values import Defaults, StagesValues, ValuesModel
from skutune.config.schema import RUN_NAME
from skutune.pipeline.graph import STAGES


class Schedule(ValuesModel):
    """Scheduled runs (a CronJob) instead of a single run."""

    cron: str = Field("", description="Cron schedule, for example `0 3 * * *`. Empty: a single run.")
    suspend: bool = Field(
        False, description="Suspend the schedule: runs start only by `kubectl create job --from=cronjob/…`."
    )
    time_zone: str = Field("", description="Time zone of `cron`, for example Europe/Berlin. Empty: the cluster's.")
    successful_jobs_history: int = Field(1, ge=0, description="Number of successful runs whose Jobs and pods are kept.")
    failed_jobs_history: int = Field(3, ge=0, description="Number of failed runs whose Jobs and pods are kept.")
    starting_deadline_seconds: int = Field(
        3600, ge=10, description="Deadline for starting a run that missed its scheduled time."
    )


class Gpu(ValuesModel):
    """The accelerators."""

    devices: int = Field(8, ge=0, description="Device budget: devices that the run may hold at any time. 0: CPU only.")
    resource: str = Field("nvidia.com/gpu", description="Name of the extended resource that pods request.")
    node_selector: dict[str, str] = Field(
        {"nvidia.com/gpu.present": "true"},
        description="Node selector of pods with devices. Set a key to null to remove it.",
    )
    affinity: dict[str, Any] = Field({}, description="Affinity of pods with devices, for example to GPU models.")
    tolerations: list[dict[str, Any]] = Field(
        [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        description="Tolerations of pods with devices. Operator Exists, because taint values differ between clusters.",
    )
    runtime_class_name: str = Field("", description="RuntimeClass of pods with devices.")
    check: bool = Field(
        True,
        description="Whether a worker that sees fewer devices than requested exits, to be retried on another node. "
        "Disable it for simulated devices.",
    )


class Kueue(ValuesModel):
    """Admission by Kueue."""

    queue_name: str = Field("", description="LocalQueue of the stages' Jobs. Empty: no Kueue.")


class ImageVolume(ValuesModel):
    """An OCI image with model folders, mounted read-only as an image volume."""

    reference: str = Field("", description="Image reference, for example registry.example.com/models/llama@sha256:….")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field("IfNotPresent", description="When to pull.")
    mount_path: str = Field(
        "/models", pattern="^/", description="Mount path. The names in config.models are folders below it."
    )


class Cache(ValuesModel):
    """Cache of model weights and compiled kernels, at /cache."""

    type: Literal["emptyDir", "pvc", "image"] = Field(
        "emptyDir",
        description="emptyDir: one cache per pod. pvc: a shared PersistentVolumeClaim. image: models come from an "
        "image volume (Kubernetes 1.33 or later), and /cache is an emptyDir.",
    )
    size: str = Field("60Gi", description="Size limit of the emptyDir.")
    claim: str = Field("", description="Name of the PersistentVolumeClaim (ReadWriteMany for pods on several nodes).")
    image: ImageVolume = Field(ImageVolume(), description="The image volume.")


class Shm(ValuesModel):
    """/dev/shm of pods that load models. The container runtime's default of 64 MB is too small."""

    size: str = Field("8Gi", description="Size limit. It counts towards the pod's memory limit.")


class Controller(ValuesModel):
    """The controller's pod."""

    resources: dict[str, Any] = Field(
        {
            "requests": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "100Mi"},
            "limits": {"memory": "512Mi", "ephemeral-storage": "1Gi"},
        },
        description="Requests and limits.",
    )
    node_selector: dict[str, str] = Field({}, description="Node selector.")
    tolerations: list[dict[str, Any]] = Field([], description="Tolerations.")
    affinity: dict[str, Any] = Field({}, description="Affinity.")
    grace_seconds: int = Field(
        180,
        ge=0,
        description="Grace period for image pull, container config and admission errors before the stage fails.",
    )
    retry_seconds: int = Field(
        10, ge=0, description="Backoff before the second attempt of a stage, doubled for each further attempt."
    )
    force_delete: bool = Field(
        False, description="Force-delete pods on unreachable nodes. Grants the controller permission to delete pods."
    )
    unreachable_seconds: int = Field(
        120,
        ge=0,
        description="Time after a pod's deletion grace period before its node counts as unreachable.",
    )
    termination_grace_period_seconds: int = Field(30, ge=1, description="Grace period after SIGTERM.")
    metrics_annotations: bool = Field(
        True, description="Add prometheus.io/scrape annotations. Metrics are served on port 9090."
    )


class Values(ValuesModel):
    """All values of the chart."""

    config: dict[str, Any] = Field(
        {}, description="The pipeline's config, as for `skutune run -c`. Its store is s3://bucket/prefix."
    )
    base: str = Field(
        "",
        pattern=rf"^({RUN_NAME[1:-1]})?$",
        description="Run whose rows are reused. latest: the last run that passed (the default of scheduled runs).",
    )
    until: str = Field("", pattern=rf"^({'|'.join(STAGES)})?$", description="Last stage to run. Empty: all stages.")
    rerun: int = Field(0, ge=0, description="Change it to force a new run with unchanged values.")
    schedule: Schedule = Field(
        Schedule(), description="Scheduled or manually started runs (a CronJob) instead of a single run."
    )
    images: Images = Field(Images(), description="Container images. `make images` writes these values.")
    store: StoreAccess = Field(
        StoreAccess(),
        description="Endpoint and credentials of the store. Its location is config.store.",
    )
    hub: Hub = Field(Hub(), description="The model hub. Only the pod of the stage models gets these settings.")
    gpu: Gpu = Field(
        Gpu(), description="The accelerators: the device budget of the run, and the placement of pods with devices."
    )
    cache: Cache = Field(Cache(), description="Cache of model weights and compiled kernels, at /cache.")
    shm: Shm = Field(
        Shm(),
        description="/dev/shm of pods that load models. The container runtime's default of 64 MB is too small.",
    )
    defaults: Defaults = Field(Defaults(), description="Settings of all stages, unless a stage overrides them.")
    stages: StagesValues = Field(
        StagesValues(),
        description="Overrides per stage, for example `finetune: {devices: 4}`: every key of `defaults` (shards only "
        "for map stages), and devices, shmSize and nodes (finetune).",
    )
    kueue: Kueue = Field(Kueue(), description="Admission by Kueue, which then decides when and where stages run.")
    controller: Controller = Field(Controller(), description="The controller's pod, grace periods and backoff.")
    service_accounts: ServiceAccounts = Field(
        ServiceAccounts(),
        description="ServiceAccounts of the pods. Both need access to the store; only the controller's has permissions "
        "in the cluster.",
    )
    security: Security = Field(
        Security(), description="Security contexts. The defaults comply with the restricted Pod Security Standard."
    )
    network_policy: NetworkPolicy = Field(
        NetworkPolicy(),
        description="Network policies. They cannot match host names, so the defaults restrict ports only; add peers to "
        "restrict more.",
    )
    priority_class_name: str = Field("", description="PriorityClass of all pods.")
    pod_labels: dict[str, str] = Field({"sidecar.istio.io/inject": "false"}, description="Labels of all pods.")
    pod_annotations: dict[str, str] = Field(
        {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"},
        description="Annotations of all pods. A sidecar would keep Jobs from completing.",
    )
    extra_env: list[dict[str, Any]] = Field([], description="Additional environment variables of all pods.")
    extra_volumes: list[dict[str, Any]] = Field([], description="Additional volumes of all pods.")
    extra_volume_mounts: list[dict[str, Any]] = Field([], description="Additional volume mounts of all pods.")
