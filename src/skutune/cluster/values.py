"""The chart's values, as models: the schema, the documented values.yaml and the README's table are made from them.

The pipeline's config is `skutune.config.Config` itself, so that a file that runs on a laptop is `config:` in the
values. Names are camelCase, as in other charts. Nothing here needs a cluster or its client.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from skutune.cluster.stage_values import Defaults, Part, StagesValues
from skutune.config import RUN_NAME
from skutune.graph import STAGES

Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]


class Schedule(Part):
    """Runs at set times instead of once."""

    cron: str = Field("", description="When, as in `0 3 * * *`. Empty: one run, now.")
    suspend: bool = Field(
        False, description="Start nothing by the clock: runs start by `kubectl create job --from=cronjob/…`."
    )
    time_zone: str = Field("", description="Time zone of `cron`, as in Europe/Berlin. Empty: the cluster's.")
    successful_jobs_history: int = Field(1, ge=0, description="Finished runs whose Jobs and pods stay visible.")
    failed_jobs_history: int = Field(3, ge=0, description="Failed runs whose Jobs and pods stay visible.")
    starting_deadline_seconds: int = Field(3600, ge=10, description="How late a run may start.")


class Image(Part):
    """One container image: a digest holds, else a tag, else the chart's appVersion."""

    repository: str = Field("", description="Repository below the registry. Empty: skutune- and the image's name.")
    tag: str = Field("", description="Version. Empty: the chart's appVersion.")
    digest: Digest = Field("", description="sha256:…, which no later push can change; holds before the tag.")


class Images(Part):
    """Where the container images are; `make images` writes a values file with their digests."""

    registry: str = Field("", description="Registry and path, as in registry.example.com/ml. Needed.")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field("IfNotPresent", description="When to pull.")
    pull_secrets: list[str] = Field([], description="Names of Secrets to pull with.")
    controller: Image = Field(Image(), description="The controller, and the stages that need no model.")
    generate: Image = Field(Image(), description="The stages that ask an LLM or an encoder.")
    train: Image = Field(Image(), description="The stages that train.")


class SecretKeys(Part):
    """Keys of the store's Secret."""

    access_key_id: str = Field("AWS_ACCESS_KEY_ID", description="Key of the access key's id.")
    secret_access_key: str = Field("AWS_SECRET_ACCESS_KEY", description="Key of the secret access key.")
    session_token: str = Field("", description="Key of a session token. Empty: none.")


class CaBundle(Part):
    """Certificates of a private authority, in PEM: from a ConfigMap or a Secret, not both."""

    config_map: str = Field("", description="Name of the ConfigMap.")
    secret: str = Field("", description="Name of the Secret.")
    key: str = Field("ca.crt", description="Its key.")


class StoreAccess(Part):
    """How pods reach the store that `config.store` names."""

    endpoint: str = Field(
        "", pattern=r"^(https?://[^/@\s]+/?)?$", description="URL of an S3 server that is not AWS. Empty: AWS."
    )
    region: str = Field("", description="Region. Empty: what the pod's identity brings, or us-east-1 at an endpoint.")
    existing_secret: str = Field(
        "", description="Secret with the access key. Empty: workload identity, by the ServiceAccounts' annotations."
    )
    secret_keys: SecretKeys = Field(SecretKeys(), description="Its keys.")
    ca_bundle: CaBundle = Field(CaBundle(), description="Who signed the store's certificate.")


class Hub(Part):
    """The model hub; only the pod of the stage `models` sees any of it."""

    existing_secret: str = Field("", description="Secret with the hub token. Empty: only models open to all.")
    key: str = Field("token", description="Its key.")
    endpoint: str = Field("", description="URL of a mirror of the hub. Empty: huggingface.co.")


class Gpu(Part):
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


class Kueue(Part):
    """Admission by Kueue."""

    queue_name: str = Field("", description="LocalQueue of the stage Jobs. Empty: no Kueue.")


class ImageVolume(Part):
    """An OCI image with model folders, mounted read-only."""

    reference: str = Field("", description="Reference, as in registry.example.com/models/llama@sha256:….")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field("IfNotPresent", description="When to pull.")
    mount_path: str = Field("/models", pattern="^/", description="Where it appears; config.models name folders in it.")


class Cache(Part):
    """Model weights and compiled kernels on the node, at /cache."""

    type: Literal["emptyDir", "pvc", "image"] = Field(
        "emptyDir",
        description="emptyDir: each pod its own. pvc: a shared claim, kept between pods. image: weights come in an "
        "image volume (Kubernetes 1.33 or later), /cache stays an emptyDir.",
    )
    size: str = Field("60Gi", description="Limit of the emptyDir.")
    claim: str = Field("", description="PersistentVolumeClaim (ReadWriteMany where pods are on several nodes).")
    image: ImageVolume = Field(ImageVolume(), description="The image volume.")


class Shm(Part):
    """/dev/shm of the pods that generate or train; the node's default of 64 MB is too small for their processes."""

    size: str = Field("8Gi", description="Size; it counts as the pod's memory.")


class Controller(Part):
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
    termination_grace_period_seconds: int = Field(30, ge=1, description="Time to finish when told to stop.")
    metrics_annotations: bool = Field(True, description="prometheus.io/scrape annotations; metrics are on port 9090.")


class ServiceAccount(Part):
    """One ServiceAccount."""

    create: bool = Field(True, description="Make it.")
    name: str = Field("", description="Its name. Empty: made from the release's.")
    annotations: dict[str, str] = Field({}, description="Annotations, as of a workload identity.")


class ServiceAccounts(Part):
    """As whom pods run; both reach the store."""

    controller: ServiceAccount = Field(ServiceAccount(), description="The controller's, with the Role.")
    stages: ServiceAccount = Field(ServiceAccount(), description="The stages', without rights or token.")


class Security(Part):
    """Security contexts; the defaults satisfy the restricted Pod Security Standard."""

    pod_security_context: dict[str, Any] = Field(
        {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        description="Of pods. A claim that belongs to root also needs an fsGroup.",
    )
    container_security_context: dict[str, Any] = Field(
        {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        description="Of containers.",
    )


class Peers(Part):
    """Where connections may go: ports, and peers as a NetworkPolicy writes them."""

    ports: list[int] = Field([], description="TCP ports, as the pod behind a Service sees them.")
    to: list[dict[str, Any]] = Field([], description="Peers (ipBlock, namespaceSelector, podSelector). Empty: any.")


class NetworkPolicy(Part):
    """Who may talk to whom. A NetworkPolicy knows no host names: ports by default, peers where they are known."""

    enabled: bool = Field(True, description="Render the policies.")
    store: Peers = Field(Peers(), description="The store. Ports by default: that of store.endpoint, else 443.")
    api_server: Peers = Field(Peers(ports=[443, 6443]), description="The API server; only the controller.")
    hub: Peers = Field(
        Peers(),
        description="The hub; only the stage models, where it mirrors from there. Ports by default: that of "
        "hub.endpoint, else 443.",
    )
    identity: Peers = Field(
        Peers(ports=[80, 443, 988]), description="Tokens of a workload identity; only without store.existingSecret."
    )
    dns: Peers = Field(Peers(ports=[53, 5353]), description="DNS, over UDP as well.")
    metrics_from: list[dict[str, Any]] = Field([], description="Who may read metrics (peers). Empty: any.")
    extra_egress: list[dict[str, Any]] = Field([], description="Further egress rules of all pods.")


class Values(Part):
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
    schedule: Schedule = Field(Schedule(), description="Runs at set times.")
    images: Images = Field(Images(), description="Container images.")
    store: StoreAccess = Field(StoreAccess(), description="Access to the store.")
    hub: Hub = Field(Hub(), description="The model hub.")
    gpu: Gpu = Field(Gpu(), description="Accelerators.")
    cache: Cache = Field(Cache(), description="Weights and compiled kernels.")
    shm: Shm = Field(Shm(), description="Shared memory.")
    defaults: Defaults = Field(Defaults(), description="Of all stages.")
    stages: StagesValues = Field(StagesValues(), description="Of single stages.")
    kueue: Kueue = Field(Kueue(), description="Kueue.")
    controller: Controller = Field(Controller(), description="The controller.")
    service_accounts: ServiceAccounts = Field(ServiceAccounts(), description="ServiceAccounts.")
    security: Security = Field(Security(), description="Security contexts.")
    network_policy: NetworkPolicy = Field(NetworkPolicy(), description="Network policies.")
    priority_class_name: str = Field("", description="PriorityClass of all pods.")
    pod_labels: dict[str, str] = Field({"sidecar.istio.io/inject": "false"}, description="Labels of all pods.")
    pod_annotations: dict[str, str] = Field(
        {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"},
        description="Annotations of all pods; a sidecar would keep a Job from ending.",
    )
    extra_env: list[dict[str, Any]] = Field([], description="Further environment variables of all pods.")
    extra_volumes: list[dict[str, Any]] = Field([], description="Further volumes of all pods.")
    extra_volume_mounts: list[dict[str, Any]] = Field([], description="Further volume mounts of all pods.")
