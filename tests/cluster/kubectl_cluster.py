"""Access to a real cluster through kubectl, for tests of releases."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kubernetes_tools


class KubectlCluster:
    """The cluster in KUBECONFIG, with the same interface as the API server double."""

    def __init__(self) -> None:
        self.kubeconfig = Path(os.environ["KUBECONFIG"])

    def list(self, kind: str, namespace: str, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """List objects of a kind."""
        selector = ["-l", ",".join(f"{key}={value}" for key, value in labels.items())] if labels else []
        items: list[dict[str, Any]] = json.loads(self.kubectl("-n", namespace, "get", kind, *selector, "-o", "json"))[
            "items"
        ]
        return items

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        """Get an object, or None."""
        output = self.kubectl("-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found")
        return dict(json.loads(output)) if output.strip() else None

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Create or update an object."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def delete(self, kind: str, name: str, namespace: str, *options: str) -> None:
        """Delete an object."""
        self.kubectl("-n", namespace, "delete", kind, name, "--ignore-not-found", *options)

    def evict(self, pod: str, namespace: str) -> None:
        """Evict a pod through the API, as a drain does."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
        self.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction), check=False)  # it may have ended

    def logs(self, pod: str, namespace: str) -> str:
        """The logs of a pod."""
        return self.kubectl("-n", namespace, "logs", pod, "--all-containers", check=False)

    def wait(self, predicate: Callable[[], object], seconds: float) -> bool:
        """Wait for a condition. Returns whether it became true in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if predicate():
                return True
            time.sleep(0.5)
        return False

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """The output of a kubectl command."""
        command = [str(kubernetes_tools.kubectl()), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=120)
        assert not check or done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout
