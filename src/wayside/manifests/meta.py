"""What every object that we make begins with: labels, a head, and a digest of what it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT = "app.kubernetes.io/component"

_LABEL = 63
"""Characters that a label's value may have. Objects of most kinds may have names of 253."""


def instance(name: str) -> str:
    """An object's name as a label's value: names of more than 63 characters end in a digest of
    the whole, so that two of them are never one."""
    if len(name) <= _LABEL:
        return name
    return f"{name[: _LABEL - 13].rstrip('-_.')}-{digest(name)[:12]}"


def labels(
    app: str,
    name: str,
    manager: str,
    *,
    component: str = "",
    also: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The recommended labels of everything that belongs to one custom resource: which
    application it is (``semantic-router``), whose (the resource's ``name``), who looks after it.
    ``also`` may add others, and cannot replace these."""
    own = {NAME: app, INSTANCE: instance(name), MANAGED_BY: manager}
    if component:
        own[COMPONENT] = component
    return {**(also or {}), **own}


def selector(labels: Mapping[str, str]) -> dict[str, str]:
    """The part of :func:`labels` that selects pods. It can never change after a Deployment has
    been made, so it is no more than what tells one resource's pods from another's."""
    return {key: labels[key] for key in (NAME, INSTANCE)}


def child(
    api_version: str,
    kind: str,
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    *,
    annotations: Mapping[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A whole object. Fields that are ``None`` are left out: nobody owns what is not said."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": dict(labels)}
    if annotations:
        metadata["annotations"] = dict(annotations)
    said = {key: value for key, value in fields.items() if value is not None}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **said}


def digest(value: Any) -> str:
    """64 hexadecimal digits of SHA-256 over a JSON value (or text): the same for equal values,
    whatever the order of their keys. Raises ``TypeError`` for what is not JSON."""
    if not isinstance(value, str):
        value = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(value.encode()).hexdigest()
