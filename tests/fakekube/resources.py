"""The resources of the API by plural name and kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .problems import ApiError

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """A kind of object under its plural name."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ("status",)
    verbs: tuple[str, ...] = ALL_VERBS

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """The name in messages: `jobs.batch`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def table(self) -> tuple[str, str]:
        """Where the objects lie. Events are the same objects in both of their groups."""
        return ("" if self.group == "events.k8s.io" else self.group, self.plural)

    @property
    def names_its_own_table(self) -> bool:
        return self.table[0] == self.group

    def not_found(self, name: str) -> ApiError:
        return ApiError(404, "NotFound", f'{self.full_name} "{name}" not found', **self.details(name))

    def conflict(self, name: str, why: str) -> ApiError:
        message = f'Operation cannot be fulfilled on {self.full_name} "{name}": {why}'
        return ApiError(409, "Conflict", message, **self.details(name))

    def details(self, name: str) -> dict[str, Any]:
        return {"name": name, **({"group": self.group} if self.group else {}), "kind": self.plural}


def _core(plural: str, kind: str, *short: str, subresources: tuple[str, ...] = (), namespaced: bool = True) -> Resource:
    return Resource("", "v1", plural, kind, namespaced, short, subresources)


_RBAC, _BATCH = "rbac.authorization.k8s.io", "batch"
RESOURCES = (
    _core("namespaces", "Namespace", "ns", subresources=("status",), namespaced=False),
    _core("nodes", "Node", "no", subresources=("status",), namespaced=False),
    _core("persistentvolumes", "PersistentVolume", "pv", subresources=("status",), namespaced=False),
    _core("pods", "Pod", "po", subresources=("status", "log", "eviction", "binding")),
    _core("configmaps", "ConfigMap", "cm"),
    _core("secrets", "Secret"),
    _core("services", "Service", "svc", subresources=("status",)),
    _core("endpoints", "Endpoints", "ep"),
    _core("serviceaccounts", "ServiceAccount", "sa", subresources=("token",)),
    _core("events", "Event", "ev"),
    _core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", subresources=("status",)),
    _core("podtemplates", "PodTemplate"),
    _core("resourcequotas", "ResourceQuota", "quota", subresources=("status",)),
    _core("limitranges", "LimitRange", "limits"),
    # Not run here: `kubectl get all` and `helm --wait` ask for them by name.
    _core("replicationcontrollers", "ReplicationController", "rc", subresources=("status",)),
    Resource("apps", "v1", "deployments", "Deployment", short=("deploy",)),
    Resource("apps", "v1", "statefulsets", "StatefulSet", short=("sts",)),
    Resource("apps", "v1", "daemonsets", "DaemonSet", short=("ds",)),
    Resource("apps", "v1", "replicasets", "ReplicaSet", short=("rs",)),
    Resource(_BATCH, "v1", "jobs", "Job"),
    Resource(_BATCH, "v1", "cronjobs", "CronJob", short=("cj",)),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", subresources=()),
    Resource("events.k8s.io", "v1", "events", "Event", short=("ev",), subresources=()),
    Resource(_RBAC, "v1", "roles", "Role", subresources=()),
    Resource(_RBAC, "v1", "rolebindings", "RoleBinding", subresources=()),
    Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False, subresources=()),
    Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False, subresources=()),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short=("netpol",), subresources=()),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", short=("pdb",)),
    Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, ("pc",), ()),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",), ()),
    Resource(
        "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, (), (), ("create",)
    ),
)
_BY_PLURAL = {resource.plural: resource for resource in reversed(RESOURCES)}  # core events win over events.k8s.io


def named(plural: str) -> Resource:
    """A resource by its plural name or its kind, as tests and controllers say it."""
    found = _BY_PLURAL.get(plural) or next((r for r in RESOURCES if r.kind.lower() == plural.lower()), None)
    if found is None:
        raise KeyError(f"no resource {plural!r} is served here; there are: {', '.join(sorted(_BY_PLURAL))}")
    return found


def find(group: str, version: str, plural: str) -> Resource | None:
    return next((r for r in RESOURCES if (r.group, r.version, r.plural) == (group, version, plural)), None)


def of_kind(api_version: str, kind: str) -> Resource | None:
    return next((r for r in RESOURCES if (r.api_version, r.kind) == (api_version, kind)), None)
