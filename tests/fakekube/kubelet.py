"""Runs the pods that are bound to reachable nodes, and terminates deleted ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .images import Image
from .pod_run import PodRun
from .problems import Object
from .resources import named
from .store import Name, Store


class Kubelet:
    """All nodes' kubelets in one. `images` None: every image is there and is this machine."""

    def __init__(self, store: Store, folder: Path, images: Mapping[str, Image] | None = None):
        self.store, self.folder, self.images = store, folder, images
        self.claims = folder / "claims"  # a folder for each namespace, in it one for each claim
        self.url = ""  # of the API, for the kubeconfigs of pods
        self.stopping = False
        self.lost_nodes: set[str] = set()
        self._runs: dict[str, PodRun] = {}
        self._folders: dict[Name, Path] = {}

    def sync(self) -> None:
        """Start what was bound, and finish what has nothing left to run."""
        for name, pod in list(self.store.table("pods").items()):
            node, uid = pod["spec"].get("nodeName"), pod["metadata"]["uid"]
            deleted = pod["metadata"].get("deletionTimestamp")
            if not node and deleted:
                self._end(name)  # was never bound: nothing will ever run
            elif not node or node in self.lost_nodes:
                continue
            elif uid not in self._runs and not deleted and pod["status"].get("phase") == "Pending":
                self._start(name, pod)
            elif deleted and not self.runs(pod):
                self._end(name)

    def _start(self, name: Name, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        folder = self._folders[name] = self.folder / "pods" / uid
        run = self._runs[uid] = PodRun(self, pod, folder)
        run.start()

    def _end(self, name: Name) -> None:
        """Report a deleted pod as ended; without finalizers it is gone with that."""

        def change(pod: Object) -> None:
            if pod["status"].get("phase") not in ("Succeeded", "Failed"):
                pod["status"]["phase"] = "Failed"

        found = self.store.update(named("pods"), *name, change, subresource="status")
        if not found["metadata"].get("finalizers"):
            self.store.drop(named("pods"), *name)

    # ---- what others ask
    def runs(self, pod: Object) -> bool:
        run = self._runs.get(pod["metadata"]["uid"])
        return run is not None and run.is_alive()

    def log_path(self, pod: Object, container: str) -> Path:
        return self.folder / "pods" / str(pod["metadata"]["uid"]) / f"{container}.log"

    def folder_of(self, namespace: str, pod: str) -> Path | None:
        """Where the logs of a pod lie, also of one that is gone."""
        return self._folders.get((namespace, pod))

    def run_of(self, pod: Object) -> PodRun | None:
        return self._runs.get(pod["metadata"]["uid"])

    def lose_node(self, node: str, processes_die: bool) -> None:
        self.lost_nodes.add(node)
        for run in self._runs.values():
            if run.spec.get("nodeName") == node and run.is_alive():
                run.lose(processes_die)

    def return_node(self, node: str) -> None:
        """The node is back after a restart: what ran there does not run any more."""
        for run in self._runs.values():
            if run.spec.get("nodeName") == node and run.lost:
                run.kill()
        self.lost_nodes.discard(node)

    def stop(self) -> None:
        """Kill everything and wait for it."""
        self.stopping = True
        for run in list(self._runs.values()):
            run.kill()
        for run in list(self._runs.values()):
            run.join(timeout=5)
