"""The chart's values, as models: the schema, the documented values.yaml and the README's table are made from them.

The pipeline's config is `skutune.config.schema.Config` itself, so that a file that runs on a laptop is `config:` in the
values. Names are camelCase, as in other charts. Nothing here needs a cluster or its client.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from skutune.cluster.chart.access_values import Hub, Images, NetworkPolicy, Security, ServiceAccounts, StoreAccess
from skutune.cluster.chart.stage_values import Defaults, StagesValues, ValuesModel
from skutune.config.schema import RUN_NAME
from skutune.pipeline.graph import STAGES


class Schedule(ValuesModel):
    """Runs at set times instead of once."""

    cron: str = Field("", description="When, as in `0 3 * * *`. Empty: one run, now.")
    suspend: bool = Field(
        False, description="Start nothing by the clock: runs start by `kubectl create job --from=cronjob/…`."
    )
    time_zone: str = Field("", description="Time zone of `cron`, as in Europe/Berlin. Empty: the cluster's.")
    successful_jobs_history: int = Field(1, ge=0, description="Finished runs whose Jobs and pods stay visible.")
    failed_jobs_history: int = Field(3, ge=0, description="Failed runs whose Jobs and pods stay visible.")
    starting_deadline_seconds: int = Field(3600, ge=10, description="How late a run may start.")


class Gpu(ValuesModel):
    """The accelerators."""

    devices: int = Field(8, ge=0, description="Devices that the run may hold at the same time. 0: CPU only.")
    resource: str = Field("nvidia.com/gpu", description="Name of the resource that pods request.")
    node_selector: dict[str, str] = Field(
        {"nvidia.com/gpu.present": "true"}, description="Which nodes. A key is taken out by the value null."
    )
    affinity: dict[str, Any] = Field({}, description="Affinity of pods with devices, as for a list of products.")
    tolerations: list[dict[str, Any]] = Field(
        [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        description="Taints of the nodes; operator Exists, because their values differ from cluster to cluster.",
    )
    runtime_class_name: str = Field("", description="RuntimeClass of pods with devices.")
    check: bool = Field(
        True,
        description="A worker that sees fewer devices than its pod was given ends at once, for another node. Off where "
        "devices are only pretended.",
    )


class Kueue(ValuesModel):
    """Admission by Kueue."""

    queue_name: str = Field("", description="LocalQueue of the stage Jobs. Empty: no Kueue.")


class ImageVolume(ValuesModel):
    """An OCI image with model folders, mounted read-only."""

    reference: str = Field("", description="Reference, as in registry.example.com/models/llama@sha256:….")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field("IfNotPresent", description="When to pull.")
    mount_path: str = Field("/models", pattern="^/", description="Where it appears; config.models name folders in it.")


class Cache(ValuesModel):
    """Model weights and compiled kernels on the node, at /cache."""

    type: Literal["emptyDir", "pvc", "image"] = Field(
        "emptyDir",
        description="emptyDir: each pod its own. pvc: a shared claim, kept between pods. image: weights come in an "
        "image volume (Kubernetes 1.33 or later), /cache stays an emptyDir.",
    )
    size: str = Field("60Gi", description="Limit of the emptyDir.")
    claim: str = Field("", description="PersistentVolumeClaim (ReadWriteMany where pods are on several nodes).")
    image: ImageVolume = Field(ImageVolume(), description="The image volume.")


class Shm(ValuesModel):
    """/dev/shm of the pods that generate or train; the node's default of 64 MB is too small for their processes."""

    size: str = Field("8Gi", description="Size; it counts as the pod's memory.")


class Controller(ValuesModel):
    """The controller's pod."""

    resources: dict[str, Any] = Field(
        {
            "requests": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "100Mi"},
            "limits": {"memory": "512Mi", "ephemeral-storage": "1Gi"},
        },
        description="Requests and limits.",
    )
    node_selector: dict[str, str] = Field({}, description="Labels of its node.")
    tolerations: list[dict[str, Any]] = Field([], description="Tolerations.")
    affinity: dict[str, Any] = Field({}, description="Affinity.")
    grace_seconds: int = Field(180, ge=0, description="How long an error of image, config or admission may heal.")
    retry_seconds: int = Field(10, ge=0, description="Wait before a second attempt; doubled for each further one.")
    force_delete: bool = Field(
        False, description="Delete pods of unreachable nodes by force; needs, and gets, the right to delete pods."
    )
    unreachable_seconds: int = Field(
        120,
        ge=0,
        description="How long a pod may take to end, beyond its grace, before its node counts as unreachable.",
    )
    termination_grace_period_seconds: int = Field(30, ge=1, description="Time to finish when told to stop.")
    metrics_annotations: bool = Field(True, description="prometheus.io/scrape annotations; metrics are on port 9090.")


class Values(ValuesModel):
    """All values of the chart."""

    config: dict[str, Any] = Field(
        {}, description="The pipeline's config, the same YAML as on a laptop; store is s3://bucket/prefix."
    )
    base: str = Field(
        "",
        pattern=rf"^({RUN_NAME[1:-1]})?$",
        description="Run whose rows are taken over; latest: the last that passed, as a schedule's runs do.",
    )
    until: str = Field("", pattern=rf"^({'|'.join(STAGES)})?$", description="Last stage. Empty: all.")
    rerun: int = Field(0, ge=0, description="Another number runs again what is otherwise unchanged.")
    schedule: Schedule = Field(
        Schedule(), description="Runs at set times, or whenever a CI starts one, instead of one run now."
    )
    images: Images = Field(Images(), description="Container images; the file that `make images` writes goes here.")
    store: StoreAccess = Field(
        StoreAccess(),
        description="How pods reach the store that config.store names: endpoint and keys, never the address itself.",
    )
    hub: Hub = Field(Hub(), description="The model hub. Only the pod of the stage models sees any of it.")
    gpu: Gpu = Field(
        Gpu(), description="The accelerators: how many the run may hold at the same time, and on which nodes."
    )
    cache: Cache = Field(Cache(), description="Model weights and compiled kernels on the node, at /cache.")
    shm: Shm = Field(
        Shm(),
        description="/dev/shm of the pods that generate or train; 64 MB, as nodes give it, is too little.",
    )
    defaults: Defaults = Field(Defaults(), description="What every stage has unless it says otherwise.")
    stages: StagesValues = Field(
        StagesValues(),
        description="What single stages have otherwise, as in `finetune: {devices: 4}`: what `defaults` may say, and "
        "devices, shards (map stages), nodes (finetune) and shmSize where they make sense.",
    )
    kueue: Kueue = Field(Kueue(), description="Admission by Kueue, which then decides when and where a stage runs.")
    controller: Controller = Field(Controller(), description="The controller's pod, and how patient it is.")
    service_accounts: ServiceAccounts = Field(
        ServiceAccounts(),
        description="As whom pods run. Both accounts reach the store; only the controller's has rights in the cluster.",
    )
    security: Security = Field(
        Security(), description="Security contexts; the defaults satisfy the restricted Pod Security Standard."
    )
    network_policy: NetworkPolicy = Field(
        NetworkPolicy(),
        description="Who may talk to whom. A policy knows no host names: ports by default, peers where they are named.",
    )
    priority_class_name: str = Field("", description="PriorityClass of all pods.")
    pod_labels: dict[str, str] = Field({"sidecar.istio.io/inject": "false"}, description="Labels of all pods.")
    pod_annotations: dict[str, str] = Field(
        {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"},
        description="Annotations of all pods; a sidecar would keep a Job from ending.",
    )
    extra_env: list[dict[str, Any]] = Field([], description="Further environment variables of all pods.")
    extra_volumes: list[dict[str, Any]] = Field([], description="Further volumes of all pods.")
    extra_volume_mounts: list[dict[str, Any]] = Field([], description="Further volume mounts of all pods.")
