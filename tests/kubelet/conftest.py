"""One cluster for all tests of a module, a namespace for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Kubectl
from tests.kubelet import Cluster


@pytest.fixture(scope="module")
def cluster(kubeconfig: Path) -> Iterator[Cluster]:
    with Cluster(kubeconfig, namespaces=["none-yet"]) as running:
        yield running


@pytest.fixture
def ns(cluster: Cluster, kubectl: Kubectl) -> str:
    """A namespace that the cluster looks at."""
    name = f"k-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    cluster.adopt(name)
    return name
