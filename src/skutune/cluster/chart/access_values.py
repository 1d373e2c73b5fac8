"""The chart's values for what pods are given and let through: images, store, hub, accounts, security, network."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from skutune.cluster.chart.stage_values import ValuesModel

Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]


class Image(ValuesModel):
    """One container image: a digest holds, else a tag, else the chart's appVersion."""

    repository: str = Field("", description="Repository below the registry. Empty: skutune- and the image's name.")
    tag: str = Field("", description="Version. Empty: the chart's appVersion.")
    digest: Digest = Field("", description="sha256:…, which no later push can change; holds before the tag.")


class Images(ValuesModel):
    """Where the container images are; `make images` writes a values file with their digests."""

    registry: str = Field("", description="Registry and path, as in registry.example.com/ml. Needed.")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field("IfNotPresent", description="When to pull.")
    pull_secrets: list[str] = Field([], description="Names of Secrets to pull with.")
    controller: Image = Field(Image(), description="The controller, and the stages that need no model.")
    generate: Image = Field(Image(), description="The stages that ask an LLM or an encoder.")
    train: Image = Field(Image(), description="The stages that train.")


class SecretKeys(ValuesModel):
    """Keys of the store's Secret."""

    access_key_id: str = Field("AWS_ACCESS_KEY_ID", description="Key of the access key's id.")
    secret_access_key: str = Field("AWS_SECRET_ACCESS_KEY", description="Key of the secret access key.")
    session_token: str = Field("", description="Key of a session token. Empty: none.")


class CaBundle(ValuesModel):
    """Certificates of a private authority, in PEM: from a ConfigMap or a Secret, not both."""

    config_map: str = Field("", description="Name of the ConfigMap.")
    secret: str = Field("", description="Name of the Secret.")
    key: str = Field("ca.crt", description="Its key.")


class StoreAccess(ValuesModel):
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


class Hub(ValuesModel):
    """The model hub; only the pod of the stage `models` sees any of it."""

    existing_secret: str = Field("", description="Secret with the hub token. Empty: only models open to all.")
    key: str = Field("token", description="Its key.")
    endpoint: str = Field("", description="URL of a mirror of the hub. Empty: huggingface.co.")


class ServiceAccount(ValuesModel):
    """One ServiceAccount."""

    create: bool = Field(True, description="Make it.")
    name: str = Field("", description="Its name. Empty: made from the release's.")
    annotations: dict[str, str] = Field({}, description="Annotations, as of a workload identity.")


class ServiceAccounts(ValuesModel):
    """As whom pods run; both reach the store."""

    controller: ServiceAccount = Field(ServiceAccount(), description="The controller's, with the Role.")
    stages: ServiceAccount = Field(ServiceAccount(), description="The stages', without rights or token.")


class Security(ValuesModel):
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


class Peers(ValuesModel):
    """Where connections may go: ports, and peers as a NetworkPolicy writes them."""

    ports: list[int] = Field([], description="TCP ports, as the pod behind a Service sees them.")
    to: list[dict[str, Any]] = Field([], description="Peers (ipBlock, namespaceSelector, podSelector). Empty: any.")


class NetworkPolicy(ValuesModel):
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
