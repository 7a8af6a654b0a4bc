"""One API server for the tests of packaging, where things are installed and taken away again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Kubectl, serving
from tests.kube.collector import tidied


@pytest.fixture(scope="package")
def kubeconfig(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a server that other tests do not see: they would miss the CRDs that `make uninstall`
    takes away."""
    with serving(tmp_path_factory.mktemp("packaging")) as server, tidied(server.kubeconfig):
        yield server.kubeconfig


@pytest.fixture(scope="package")
def kubectl(kubeconfig: Path) -> Kubectl:
    """One for this server: a fixture is made once, and the others' has theirs."""
    return Kubectl(kubeconfig)
