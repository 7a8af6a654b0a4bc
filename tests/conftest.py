"""Fixtures that every part of the tests may use."""

from __future__ import annotations

from tests.cluster import (
    admin,
    binary,
    kubeconfig,
    kubectl,
    namespace,
    pytest_runtest_setup,
    pytest_runtest_teardown,
)

__all__ = [
    "admin",
    "binary",
    "kubeconfig",
    "kubectl",
    "namespace",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
]
