"""A Kubernetes cluster in one process: real helm, kubectl and the official client talk to it over plain HTTP.

It stores and validates objects, streams watches, merges server-side applies, judges by RBAC, admits by quota and Pod
Security, schedules pods by devices, labels and taints, and runs them as processes of this machine.
`python -m tests.fakekube` runs it alone.
"""

from .cluster import Cluster
from .images import Image
from .nodes import Node
from .problems import ApiError

__all__ = ["ApiError", "Cluster", "Image", "Node"]
