"""A cluster of one node for tests: the API server is genuine, pods are processes.

See ``docs/explanation/process-kubelet.md``. Tests need :class:`Cluster` and :class:`Image` only.
"""

from __future__ import annotations

from tests.kubelet.cluster import Cluster
from tests.kubelet.images import Image

__all__ = ["Cluster", "Image"]
