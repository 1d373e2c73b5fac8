"""Values models for images, store, hub, service accounts, security contexts and network policies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from skutune.cluster.chart.stage_values import ValuesModel

Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]


class Image(ValuesModel):
    """One container image. The digest takes precedence over the tag, which defaults to the chart's appVersion."""

    repository: str = Field("", description="Repository in the registry. Empty: skutune-<name>.")
    tag: str = Field("", description="Tag. Empty: the chart's appVersion.")
    digest: Digest = Field("", description="Digest (sha256:…), which pins the image. Overrides the tag.")


class Images(ValuesModel):
    """Container images. `make images` writes a values file with their digests."""

    registry: str = Field("", description="Registry and path, for example registry.example.com/ml. Required.")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field("IfNotPresent", description="Image pull policy.")
    pull_secrets: list[str] = Field([], description="Names of image pull Secrets.")
    controller: Image = Field(Image(), description="Image of the controller and of the stages without a model.")
    generate: Image = Field(Image(), description="Image of the stages that run an LLM or an encoder.")
    train: Image = Field(Image(), description="Image of the stages that train.")


class SecretKeys(ValuesModel):
    """Keys in the store's Secret."""

    access_key_id: str = Field("AWS_ACCESS_KEY_ID", description="Key of the access key ID.")
    secret_access_key: str = Field("AWS_SECRET_ACCESS_KEY", description="Key of the secret access key.")
    session_token: str = Field("", description="Key of the session token. Empty: none.")


class CaBundle(ValuesModel):
    """A CA bundle in PEM, from either a ConfigMap or a Secret."""

    config_map: str = Field("", description="Name of the ConfigMap.")
    secret: str = Field("", description="Name of the Secret.")
    key: str = Field("ca.crt", description="Key in the object.")


class Encryption(ValuesModel):
    """Server-side encryption that is requested for each object."""

    algorithm: Literal["", "AES256", "aws:kms", "aws:kms:dsse"] = Field(
        "", description="Algorithm. Empty: the bucket's default."
    )
    kms_key_id: str = Field("", description="KMS key ID or ARN, for aws:kms. Empty: the account's key.")


class StoreAccess(ValuesModel):
    """Access to the store in `config.store`."""

    endpoint: str = Field(
        "", pattern=r"^(https?://[^/@\s]+/?)?$", description="URL of an S3-compatible server. Empty: AWS."
    )
    region: str = Field(
        "", description="Region. Empty: us-east-1 with an endpoint, else the region of the pod's identity."
    )
    existing_secret: str = Field(
        "", description="Secret with the access key. Empty: workload identity, see serviceAccounts.*.annotations."
    )
    secret_keys: SecretKeys = Field(SecretKeys(), description="Keys in that Secret.")
    encryption: Encryption = Field(
        Encryption(), description="Server-side encryption of objects, where the bucket's policy demands it."
    )
    request_payer: Literal["", "requester"] = Field(
        "", description="requester: confirm that requests are paid by the requester."
    )
    checksum_algorithm: Literal["", "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] = Field(
        "", description="Checksum to send with each object. Empty: only where S3 requires one."
    )
    ca_bundle: CaBundle = Field(CaBundle(), description="CA bundle to verify the store's certificate.")


class Hub(ValuesModel):
    """The model hub. Only the pod of the stage `models` gets these settings."""

    existing_secret: str = Field("", description="Secret with the hub token. Empty: public models only.")
    key: str = Field("token", description="Key in the object.")
    endpoint: str = Field("", description="URL of a hub mirror. Empty: huggingface.co.")


class ServiceAccount(ValuesModel):
    """One ServiceAccount."""

    create: bool = Field(True, description="Create the ServiceAccount.")
    name: str = Field("", description="Name. Empty: derived from the release's name.")
    annotations: dict[str, str] = Field({}, description="Annotations, for example for workload identity.")


class ServiceAccounts(ValuesModel):
    """The ServiceAccounts of the pods. Both need access to the store."""

    controller: ServiceAccount = Field(ServiceAccount(), description="Account of the controller, bound to its Role.")
    stages: ServiceAccount = Field(
        ServiceAccount(), description="Account of the stages, without permissions or API token."
    )


class Security(ValuesModel):
    """Security contexts. The defaults comply with the restricted Pod Security Standard."""

    pod_security_context: dict[str, Any] = Field(
        {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        description="Security context of pods. A root-owned PersistentVolumeClaim also needs an fsGroup.",
    )
    container_security_context: dict[str, Any] = Field(
        {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        description="Security context of containers.",
    )


class Peers(ValuesModel):
    """Allowed destinations: ports, and peers in the format of a NetworkPolicy."""

    ports: list[int] = Field([], description="TCP ports. For a Service, the target port of its pods.")
    to: list[dict[str, Any]] = Field([], description="Peers (ipBlock, namespaceSelector, podSelector). Empty: any.")


class NetworkPolicy(ValuesModel):
    """Network policies. They cannot match host names, so the defaults restrict only ports."""

    enabled: bool = Field(True, description="Create the network policies.")
    store: Peers = Field(Peers(), description="The store. Default port: that of store.endpoint, else 443.")
    api_server: Peers = Field(Peers(ports=[443, 6443]), description="The API server, for the controller only.")
    hub: Peers = Field(
        Peers(),
        description="The hub, for the stage models only, and only if a model comes from the hub. Default port: that of "
        "hub.endpoint, else 443.",
    )
    identity: Peers = Field(
        Peers(ports=[80, 443, 988]),
        description="Token endpoints of workload identity, only without store.existingSecret.",
    )
    dns: Peers = Field(Peers(ports=[53, 5353]), description="DNS, over TCP and UDP.")
    metrics_from: list[dict[str, Any]] = Field([], description="Peers that may scrape metrics. Empty: any.")
    extra_egress: list[dict[str, Any]] = Field([], description="Additional egress rules for all pods.")
