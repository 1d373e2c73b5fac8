"""Events as controllers write them, so that `kubectl describe` and `kubectl get events` have something to show."""

from __future__ import annotations

import uuid

from .clock import now
from .problems import ApiError, Object
from .resources import Resource, named
from .store import Store


def emit(
    store: Store, resource: Resource, about: Object, reason: str, message: str, *, source: str, warning: bool = False
) -> None:
    """Write one Event about an object. A namespace that is going away takes none."""
    metadata = about["metadata"]
    involved = {"apiVersion": resource.api_version, "kind": resource.kind, "uid": metadata["uid"]}
    involved |= {"name": metadata["name"], "namespace": metadata.get("namespace", "default")}
    event: Object = {"metadata": {"name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}"}, "involvedObject": involved}
    event |= {"reason": reason, "message": message, "type": "Warning" if warning else "Normal", "count": 1}
    event |= {"firstTimestamp": now(), "lastTimestamp": now(), "source": {"component": source}}
    event |= {"reportingComponent": source, "reportingInstance": ""}
    try:
        store.create(named("events"), involved["namespace"], event)
    except ApiError as refused:
        if refused.code not in (403, 404):
            raise
