"""CEL as Authorino evaluates it: by cel-go, with its string extensions, over ``auth`` and
``request``. Here the API server's own cel-go does it, as the message of a rule that never holds.

What is not the same: Authorino's values are untyped, where ours have the schema below; and of the
headers there are two, as fields, since the server cannot tell what a map of any size would cost:
``request.headers["x-gateway-model-name"]`` is ``request.headers.model``.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

import yaml

from tests.cluster import Kubectl

_TEXT = {"type": "string", "maxLength": 96}
_SCHEMA = {
    "type": "object",
    "properties": {
        "auth": {
            "type": "object",
            "properties": {
                "identity": {
                    "type": "object",
                    "properties": {
                        "user": {
                            "type": "object",
                            "properties": {
                                "username": _TEXT,
                                "groups": {"type": "array", "maxItems": 4, "items": _TEXT},
                            },
                        },
                        "userid": _TEXT,
                        "tier": _TEXT,
                    },
                },
                "metadata": {
                    "type": "object",
                    "properties": {
                        "matchedTier": {"type": "object", "properties": {"tier": _TEXT}}
                    },
                },
            },
        },
        "request": {
            "type": "object",
            "properties": {
                "path": _TEXT,
                "headers": {
                    "type": "object",
                    "properties": {"authorization": _TEXT, "model": _TEXT},
                },
            },
        },
    },
}


class Cel:
    """Expressions by name, compiled: one that cannot be is an ``AssertionError``. A predicate is
    ``true`` or ``false``; one whose evaluation fails is ``error``."""

    def __init__(
        self, kubectl: Kubectl, expressions: Mapping[str, str], predicates: Mapping[str, str]
    ) -> None:
        self._kubectl, self._kind = kubectl, f"Cel{uuid.uuid4().hex[:8]}"
        texts = {**expressions, **{k: f'({v}) ? "true" : "false"' for k, v in predicates.items()}}
        rules = [
            {
                "rule": "false",
                "message": f"{name} = <error>",
                "messageExpression": f'"{name} = <" + ({_rooted(text)}) + ">"',
            }
            for name, text in texts.items()
        ]
        plural = f"{self._kind.lower()}s"
        self._made = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.cel.test"},
            "spec": {
                "group": "cel.test",
                "scope": "Cluster",
                "names": {"kind": self._kind, "plural": plural, "singular": self._kind.lower()},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {
                            "openAPIV3Schema": {
                                "type": "object",
                                "properties": {
                                    "spec": {**_SCHEMA, "x-kubernetes-validations": rules}
                                },
                            }
                        },
                    }
                ],
            },
        }
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump(self._made))
        kubectl("wait", "--for=condition=Established", "--timeout=30s", f"crd/{plural}.cel.test")

    def __call__(self, **roots: Any) -> dict[str, str]:
        """The value of every expression for this ``auth`` and ``request``."""
        asked = {
            "apiVersion": "cel.test/v1",
            "kind": self._kind,
            "metadata": {"name": "asked"},
            "spec": roots,
        }
        done = self._kubectl.run(
            "create", "--validate=false", "-f", "-", stdin=yaml.safe_dump(asked), ok=False
        )
        assert done.returncode != 0, "a rule held"
        return dict(re.findall(r"(\S+) = <([^>]*)>", done.stderr))


def _rooted(expression: str) -> str:
    short = expression.replace('headers["x-gateway-model-name"]', "headers.model")
    return re.sub(r"\b(auth|request)\.", r"self.\1.", short)
