"""Fixtures that every part of the tests may use."""

from __future__ import annotations

import os

from hypothesis import settings

from tests.cluster import (
    admin,
    binary,
    kubeconfig,
    kubectl,
    namespace,
)

__all__ = [
    "admin",
    "binary",
    "kubeconfig",
    "kubectl",
    "namespace",
]

# Where examples are the same in every run, half of them show as much; elsewhere they are drawn
# anew, a hundred at a time.
settings.register_profile("same", parent=settings.get_profile("ci"), max_examples=30)
if os.environ.get("CI"):
    settings.load_profile("same")
