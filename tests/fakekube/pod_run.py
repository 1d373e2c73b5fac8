"""Runs one pod as local processes, from its binding to its end."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import container_status, events, images
from .clock import now
from .pod_environment import NotReadyError, environment, expand
from .pod_files import PodFiles
from .problems import Object
from .processes import Command, Running, kill_group, launch
from .rbac import kubeconfig, token_of
from .resources import named

if TYPE_CHECKING:
    from .kubelet import Kubelet

_LOOK_SECONDS = 0.04
_RETRY_SECONDS = 0.2
_NO_FOLDER = "/dev/null"  # for HOME where the root is read-only: nothing can be written below it


class PodRun(threading.Thread):
    """Runs a pod. `kill` ends its processes as a machine would; everything else comes from the API."""

    def __init__(self, kubelet: Kubelet, pod: Object, folder: Path):
        super().__init__(daemon=True, name=f"pod-{pod['metadata']['name']}")
        self.kubelet, self.store, self.pod, self.folder = kubelet, kubelet.store, pod, folder
        self.key, self.uid, self.spec = _key(pod), pod["metadata"]["uid"], pod["spec"]
        self.files = PodFiles(self.store, pod, folder, kubelet.claims, kubelet.images)
        self.statuses: dict[str, Object] = {}
        self.initial: dict[str, Object] = {}
        self.running: dict[str, Running] = {}
        self.started_at = now()
        self.out_of_memory = False
        self.lost = False  # with its node: nothing can be reported
        self.signalled = False

    # ---- from outside
    def kill(self, out_of_memory: bool = False) -> None:
        """kill -9 of all processes."""
        self.out_of_memory = self.out_of_memory or out_of_memory
        self._kill_all()

    def lose(self, processes_die: bool) -> None:
        """The node is out of reach: what happens there is not known any more."""
        self.lost = True
        if processes_die:
            self._kill_all()

    # ---- the life of a pod
    def run(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        commands = self._wait_for_needs()
        if commands is None:
            return self._report_end("Failed")
        for command in commands[: len(self.spec.get("initContainers") or [])]:
            if not self._run_initial(command):
                return self._report_end("Failed")
        for command in commands[len(self.spec.get("initContainers") or []) :]:
            self._start(command, 0)
        self._report("Running")
        why = self._supervise()
        failed = why or any(one["state"]["terminated"]["exitCode"] for one in self.statuses.values())
        return self._report_end("Failed" if failed else "Succeeded", why)

    def _now(self) -> Object | None:
        """The pod as the API has it; None when it is gone."""
        found = self.store.table("pods").get(self.key)
        return found if found is not None and found["metadata"]["uid"] == self.uid else None

    def _is_to_end(self) -> bool:
        found = self._now()
        return self.kubelet.stopping or found is None or bool(found["metadata"].get("deletionTimestamp"))

    # ---- before the start
    def _wait_for_needs(self) -> list[Command] | None:
        """Everything to start; None where the pod was deleted while something was missing."""
        told = ""
        while not self._is_to_end():
            try:
                self.files.prepare()
                every = [*(self.spec.get("initContainers") or []), *self.spec["containers"]]
                return [self._command(container) for container in every]
            except NotReadyError as missing:
                self._tell_waiting(missing, told)
                told = missing.message
                time.sleep(_RETRY_SECONDS)
        return None

    def _tell_waiting(self, missing: NotReadyError, told: str) -> None:
        reason = missing.reason
        if reason == "ErrImagePull" and told == missing.message:
            reason = "ImagePullBackOff"
        shown = f"Back-off pulling image: {missing.message}" if reason == "ImagePullBackOff" else missing.message
        message = "" if reason == "ContainerCreating" else shown
        statuses = {c["name"]: container_status.waiting(c, reason, message) for c in self.spec["containers"]}
        if {name: one["state"] for name, one in statuses.items()} != {
            n: one["state"] for n, one in self.statuses.items()
        }:
            self.statuses = statuses
            self._report("Pending")
        if told != missing.message:
            event = missing.event
            events.emit(self.store, named("pods"), self.pod, event, missing.message, source="kubelet", warning=True)

    def _command(self, container: Object) -> Command:
        """Raises NotReadyError where the image or something that the environment refers to is missing."""
        image = images.find(self.kubelet.images, container["image"])
        if image is None:
            raise NotReadyError("ErrImagePull", images.not_found(container["image"]))
        base, rewrite = image.environment(), self.files.rewriter(container)
        values = environment(self.store, self.pod, container, base)
        arguments = [*(container.get("command") or image.command), *(container.get("args") or [])]
        # An image's own variables name this machine's folders already.
        given = {name: value if base.get(name) == value else rewrite(value) for name, value in values.items()}
        variables = given | self._credentials()
        variables.setdefault("HOME", _NO_FOLDER if _is_read_only(container) else str(self.folder))
        folder = Path(rewrite(container["workingDir"])) if container.get("workingDir") else self.folder
        argv = [rewrite(expand(argument, values)) for argument in arguments]
        return Command(container, argv, variables, folder if folder.is_dir() else self.folder)

    def _credentials(self) -> dict[str, str]:
        """A kubeconfig with the token of the pod's ServiceAccount, unless it is not to have one."""
        namespace, account = self.key[0], self.spec.get("serviceAccountName", "default")
        wanted = self.spec.get("automountServiceAccountToken")
        if wanted is None:
            found = self.store.table("serviceaccounts").get((namespace, account)) or {}
            wanted = found.get("automountServiceAccountToken", True)
        if not wanted:
            return {}
        path = self.folder / "kubeconfig"
        path.write_text(kubeconfig(self.kubelet.url, token_of(account, namespace), namespace))
        return {"KUBECONFIG": str(path)}

    # ---- processes
    def _run_initial(self, command: Command) -> bool:
        """Run an init container to its end; did it succeed?"""
        name = command.container["name"]
        rest = [c for c in self.spec["containers"] if c["name"] not in self.statuses]
        self.statuses |= {c["name"]: container_status.waiting(c, "PodInitializing") for c in rest}
        process = launch(command, self.log_path(name))
        if isinstance(process, str):
            self.initial[name] = container_status.not_started(command.container, process)
            return False
        running = self.running[name] = Running(command, process, now())
        self.initial[name] = container_status.running(command.container, running.started)
        self._report("Pending")
        self._until_ended()
        del self.running[name]
        self.initial[name] = self._terminated(running)
        return process.returncode == 0 and not self.signalled

    def _until_ended(self) -> None:
        while any(one.process.poll() is None for one in self.running.values()):
            self._end_if_told()
            time.sleep(_LOOK_SECONDS)

    def _start(self, command: Command, restarts: int, last: Object | None = None) -> None:
        name = command.container["name"]
        process = launch(command, self.log_path(name))
        if isinstance(process, str):
            self.statuses[name] = container_status.not_started(command.container, process)
            return
        self.running[name] = Running(command, process, now(), restarts)
        self.statuses[name] = container_status.running(command.container, now(), restarts, last)

    def _supervise(self) -> dict[str, str] | None:
        """Until every container has ended; the reason where the pod's own deadline ended them."""
        seconds, why = self.spec.get("activeDeadlineSeconds"), None
        deadline = time.monotonic() + seconds if seconds else None
        while True:
            if deadline and time.monotonic() > deadline and not self.signalled:
                why = {
                    "reason": "DeadlineExceeded",
                    "message": "Pod was active on the node longer than the specified deadline",
                }
                self._terminate(self.spec.get("terminationGracePeriodSeconds", 30))
            self._end_if_told()
            for name, one in list(self.running.items()):
                if not one.ended and one.process.poll() is not None:
                    self._note_end(name, one)
            if all(one.ended for one in self.running.values()):
                return why
            time.sleep(_LOOK_SECONDS)

    def _note_end(self, name: str, one: Running) -> None:
        one.ended = True
        self.statuses[name] = self._terminated(one)
        policy, failed = self.spec.get("restartPolicy", "Always"), one.process.returncode != 0
        if not self.signalled and not self.lost and (policy == "Always" or (policy == "OnFailure" and failed)):
            time.sleep(_RETRY_SECONDS)
            self._start(one.command, one.restarts + 1, self.statuses[name]["state"])
            self._report("Running")

    def _terminated(self, one: Running) -> Object:
        container, code = one.command.container, one.process.returncode
        kill_group(one.process)  # what it left behind
        log, termination_log = self.log_path(container["name"]), self.files.termination_log(container)
        message = container_status.last_words(container, code, log, termination_log)
        return container_status.terminated(container, code, one.started, one.restarts, message, self.out_of_memory)

    def _end_if_told(self) -> None:
        if self._is_to_end():
            found = self._now()
            metadata = found["metadata"] if found else {}
            grace = metadata.get("deletionGracePeriodSeconds") or 0
            self._terminate(0 if self.kubelet.stopping else grace)

    def _terminate(self, grace_seconds: float) -> None:
        """SIGTERM once, SIGKILL when the grace period is over."""
        if self.lost and not self.kubelet.stopping:
            return  # a node out of reach hears nothing
        if not self.signalled:
            self.signalled, self.kill_at = True, time.monotonic() + grace_seconds
            for one in list(self.running.values()):
                one.process.terminate()  # as a container runtime: the first process only, which may tell the others
        self.kill_at = min(self.kill_at, time.monotonic() + grace_seconds)
        if time.monotonic() >= self.kill_at:
            self._kill_all()

    def _kill_all(self) -> None:
        for one in list(self.running.values()):
            if one.process.poll() is None:
                kill_group(one.process)

    # ---- reporting
    def log_path(self, container: str) -> Path:
        return self.folder / f"{container}.log"

    def _report_end(self, phase: str, why: dict[str, str] | None = None) -> None:
        if not self.lost and not self.kubelet.stopping:
            self._report(phase, why)

    def _report(self, phase: str, why: dict[str, str] | None = None) -> None:
        if self.lost:
            return

        def change(pod: Object) -> None:
            status = pod["status"]
            status |= {"phase": phase, "startTime": self.started_at, "podIP": "127.0.0.1", "hostIP": "127.0.0.1"}
            status["conditions"] = container_status.conditions(phase, status.get("conditions") or [])
            order = [container["name"] for container in self.spec["containers"]]
            status["containerStatuses"] = [self.statuses[name] for name in order if name in self.statuses]
            if self.initial:
                status["initContainerStatuses"] = list(self.initial.values())
            status.update(why or {})

        with self.store.lock:
            if self._now() is not None:
                self.store.update(named("pods"), *self.key, change, subresource="status")


def _key(pod: Object) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _is_read_only(container: Object) -> bool:
    return bool((container.get("securityContext") or {}).get("readOnlyRootFilesystem"))
