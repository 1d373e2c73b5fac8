"""The double's interface for tests: an API server, its controllers and its nodes in one process."""

from __future__ import annotations

import copy
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from . import disruption, nodes, patches
from .admission import Admission
from .controllers import ControllerManager
from .cronjobs import CronJobController, real_time
from .deletion import GarbageCollector, delete
from .faults import Faults
from .http import Server
from .images import Image
from .jobs import JobController
from .kubelet import Kubelet
from .nodes import Node
from .operations import Backend
from .pod_run import PodRun
from .problems import ApiError, Object
from .rbac import ADMIN, kubeconfig, token_of, url_as
from .resources import Resource, named, of_kind
from .scheduler import Scheduler
from .selectors import Requirement
from .store import Store
from .tables import typed
from .upkeep import Upkeep

_Found = TypeVar("_Found")
_Objects = list[Object]  # `Cluster.list` hides the word
_LOOK_SECONDS = 0.02


class Cluster:
    """A Kubernetes cluster for tests; `with Cluster(...) as cluster`.

    `images` are the container images that can be pulled; None: any name, and it is this machine as it is. `nodes`
    default to one with room for everything. With `rbac`, ServiceAccounts may do what the stored Roles grant;
    `kubeconfig` and `url` are the administrator's.
    """

    def __init__(
        self,
        *,
        images: Mapping[str, Image] | None = None,
        nodes: Sequence[Node] = (nodes.DEFAULT,),
        rbac: bool = True,
        backoff_seconds: float = 0.2,
        port: int = 0,
        clock: Callable[[], datetime] = real_time,
    ):
        self.folder = Path(tempfile.mkdtemp(prefix="cluster-"))
        self.store = Store()
        self.store.admit = Admission(self.store)
        self.faults = Faults(self.store.lock)
        self.kubelet = Kubelet(self.store, self.folder, images)
        self._server = Server(Backend(self.store, self.faults, self.kubelet, rbac), self.faults, port=port)
        self._cron = CronJobController(self.store, clock)
        self._scheduler, jobs = Scheduler(self.store), JobController(self.store, backoff_seconds)
        others = (GarbageCollector(self.store), Upkeep(self.store))
        controllers = (self._cron, jobs, self._scheduler, self.kubelet, *others)
        self._manager = ControllerManager(self.store, jobs, controllers)
        self.kubelet.url = self._server.url
        self.url = url_as(self._server.url, ADMIN)
        self.calls = self._server.calls
        self.kubeconfig = self._write_kubeconfig("admin", ADMIN, "default")
        for node in nodes:
            self.add_node(node)

    def __enter__(self) -> Cluster:
        self._manager.start()
        threading.Thread(target=self._server.serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all processes of pods and take the server down."""
        self.faults.clear()
        self._manager.stop()
        self.kubelet.stop()
        self._server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- access for clients
    def kubeconfig_for(self, service_account: str, namespace: str = "default") -> Path:
        """A kubeconfig with a ServiceAccount's token."""
        token = token_of(service_account, namespace)
        return self._write_kubeconfig(f"{namespace}-{service_account}", token, namespace)

    def _write_kubeconfig(self, name: str, token: str, namespace: str) -> Path:
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(kubeconfig(url_as(self._server.url, token), token, namespace))
        return path

    # ---- objects
    def get(self, kind: str, name: str, namespace: str = "default") -> Object:
        """A copy of an object, by plural or kind. Raises ApiError (404)."""
        resource = named(kind)
        found = self.store.get(resource, namespace if resource.namespaced else None, name)
        return copy.deepcopy(typed(resource, found))

    def exists(self, kind: str, name: str, namespace: str = "default") -> bool:
        resource = named(kind)
        return (namespace if resource.namespaced else None, name) in self.store.table(resource)

    def list(self, kind: str, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> _Objects:
        """Copies of the objects of a kind, oldest first: of one namespace or all, with these labels."""
        resource = named(kind)
        wanted = [Requirement(key, "In", frozenset({value})) for key, value in (labels or {}).items()]
        with self.store.lock:
            found = [
                copy.deepcopy(typed(resource, one))
                for (home, _), one in self.store.table(resource).items()
                if namespace in (None, home) and all(w.holds(one["metadata"].get("labels") or {}) for w in wanted)
            ]
        return sorted(found, key=lambda one: str(one["metadata"]["creationTimestamp"]))

    def create(self, manifest: Object) -> Object:
        """Create an object from its manifest, in `default` where it names no namespace. Raises ApiError."""
        resource = _resource_of(manifest)
        namespace = (manifest.get("metadata") or {}).get("namespace", "default") if resource.namespaced else None
        return copy.deepcopy(typed(resource, self.store.create(resource, namespace, manifest, manager="test")))

    def patch(self, kind: str, name: str, patch: Object, namespace: str = "default", *, status: bool = False) -> Object:
        """Merge a patch into an object, or into its status. Raises ApiError."""
        resource = named(kind)
        home = namespace if resource.namespaced else None
        part = "status" if status else None
        changed = self.store.update(
            resource, home, name, lambda one: patches.merge_patch(one, patch), subresource=part, manager="test"
        )
        return copy.deepcopy(typed(resource, changed))

    def delete(
        self,
        kind: str,
        name: str,
        namespace: str = "default",
        *,
        propagation: str = "Background",
        grace_seconds: int | None = None,
    ) -> None:
        """Delete as kubectl does. Raises ApiError (404)."""
        resource = named(kind)
        options = {"propagationPolicy": propagation, "gracePeriodSeconds": grace_seconds}
        delete(self.store, resource, namespace if resource.namespaced else None, name, options)

    def wait(self, predicate: Callable[[], _Found], seconds: float = 30.0) -> _Found:
        """What the predicate returns once that is true. An object that is not there yet is no error.

        Raises TimeoutError, which tells how the pods stand.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                if found := predicate():
                    return found
            except ApiError as error:
                if error.code != 404:
                    raise
            if time.monotonic() > end:
                raise TimeoutError(f"not true within {seconds:g} s. Pods: {self._pods_told() or 'none'}")
            time.sleep(_LOOK_SECONDS)

    def _pods_told(self) -> str:
        return "; ".join(
            f"{pod['metadata']['name']} {pod['status'].get('phase')} "
            + " ".join(str(one["state"]) for one in pod["status"].get("containerStatuses") or [])
            for pod in self.list("pods")
        )

    def logs(self, pod: str, namespace: str = "default", container: str | None = None) -> str:
        """What a pod's containers have written so far, also after it is gone; empty before it ran."""
        folder = self.kubelet.folder_of(namespace, pod)
        pattern = f"{container}.log" if container else "*.log"
        return "".join(path.read_text(errors="replace") for path in sorted(folder.glob(pattern))) if folder else ""

    def environment_of(self, pod: str, namespace: str = "default") -> dict[str, str]:
        """The variables that a running pod's container was started with; of several containers, the first's."""
        running = self._run_of(pod, namespace).running
        return dict(next(iter(running.values())).command.environment) if running else {}

    def claim_folder(self, name: str, namespace: str = "default") -> Path:
        """The folder that pods with this PersistentVolumeClaim share.

        A path that stands in a file is not rewritten: a pod that mounts the claim at this very path finds it so too.
        """
        folder = self.kubelet.claims / namespace / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def tick_cron(self, name: str, namespace: str = "default") -> str | None:
        """A scheduled time passes: the name of the Job that starts; None where it is suspended or must wait."""
        job = self._cron.tick((namespace, name))
        return job["metadata"]["name"] if job else None

    def expire_history(self) -> None:
        """Compact what watches could still ask for: older versions than now answer 410."""
        self.store.forget()

    # ---- disruptions
    def evict(self, pod: str, namespace: str = "default") -> None:
        """The eviction API: DisruptionTarget, SIGTERM, and SIGKILL after the grace period."""
        disruption.evict(self.store, namespace, pod)

    def oom(self, pod: str, namespace: str = "default") -> None:
        """The kernel kills the pod's processes for want of memory: OOMKilled, 137."""
        self._run_of(pod, namespace).kill(out_of_memory=True)

    def kill(self, pod: str, namespace: str = "default") -> None:
        """kill -9 of the pod's processes."""
        self._run_of(pod, namespace).kill()

    def _run_of(self, pod: str, namespace: str) -> PodRun:
        run = self.kubelet.run_of(self.store.get(named("pods"), namespace, pod))
        if run is None:
            raise RuntimeError(f"pod {namespace}/{pod} runs no process: is it bound to a node?")
        return run

    # ---- nodes
    def add_node(self, node: Node) -> None:
        nodes.add(self.store, node)

    def lose_node(self, name: str, *, processes_die: bool = True) -> None:
        """The node is out of reach, as after its power went; its pods are deleted and stay Terminating.

        With `processes_die=False` only the network is gone: the processes go on.
        """
        with self.store.lock:
            nodes.set_reachable(self.store, name, False)
            self.kubelet.lose_node(name, processes_die)
            for pod in self._pods_on(name):
                told = "Taint manager: deleting due to NoExecute taint"
                self._disrupt(pod, "DeletionByTaintManager", told, {})

    def return_node(self, name: str) -> None:
        """The node is back, restarted: its Terminating pods end."""
        with self.store.lock:
            self.kubelet.return_node(name)
            nodes.set_reachable(self.store, name, True)

    def remove_node(self, name: str) -> None:
        """The node is taken out of the cluster, and the pods that were on it with it."""
        with self.store.lock:
            self.kubelet.lose_node(name, processes_die=True)
            delete(self.store, named("nodes"), None, name)
            for pod in self._pods_on(name):
                self._disrupt(pod, "DeletionByPodGC", "PodGC: node no longer exists", {"gracePeriodSeconds": 0})
                if self.exists("pods", pod["metadata"]["name"], pod["metadata"]["namespace"]):
                    self.patch(
                        "pods",
                        pod["metadata"]["name"],
                        {"status": {"phase": "Failed"}},
                        pod["metadata"]["namespace"],
                        status=True,
                    )

    def _pods_on(self, node: str) -> _Objects:
        ended = ("Succeeded", "Failed")
        return [
            pod
            for pod in list(self.store.table("pods").values())
            if pod["spec"].get("nodeName") == node and pod["status"].get("phase") not in ended
        ]

    def _disrupt(self, pod: Object, reason: str, message: str, options: dict[str, Any]) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        disruption.mark_disrupted(self.store, namespace, name, reason, message)
        delete(self.store, named("pods"), namespace, name, options)

    # ---- devices
    def peak(self, resource: str) -> int:
        """The most of a resource that pods with a node held at one time, terminating ones included."""
        return int(self._scheduler.peaks.get(resource, 0))

    def in_flight(self, resource: str) -> int:
        """What pods hold of a resource now."""
        return self._scheduler.in_flight(resource)


def _resource_of(manifest: Object) -> Resource:
    resource = of_kind(manifest.get("apiVersion", "v1"), manifest.get("kind", ""))
    if resource is None:
        raise KeyError(f"{manifest.get('apiVersion')} {manifest.get('kind')} is not served here")
    return resource
