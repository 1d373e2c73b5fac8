"""An API server double: a Kubernetes cluster in one process, for helm, kubectl and the official client over plain HTTP.

It stores and validates objects, streams watches, merges server-side applies, enforces RBAC, quotas and Pod Security,
schedules pods by devices, labels and taints, and runs them as processes. `python -m tests.fakekube` runs it alone.
"""

from .cluster import Cluster
from .images import Image
from .nodes import Node
from .problems import ApiError

__all__ = ["ApiError", "Cluster", "Image", "Node"]
