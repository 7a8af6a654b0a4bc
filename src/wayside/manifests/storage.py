"""Amounts of storage, and claims on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any, Final

from wayside.manifests.meta import child

_QUANTITY: Final = re.compile(
    r"\+?(?P<number>\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,2})?",
    re.ASCII,
)
_POWERS: Final = {
    "n": -9,
    "u": -6,
    "m": -3,
    "": 0,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "P": 15,
    "E": 18,
}
_LARGEST: Final = 2**63 - 1
_EXACT: Final = Context(prec=120)


def bytes_of(quantity: str) -> int:
    """The bytes that a quantity stands for, rounded up as Kubernetes does: ``10Gi``, ``500M``,
    ``1.5Ti``, ``1e9``. Raises ``ValueError``, which says what would be right, for what is none, is
    not positive or is more than 2^63 - 1."""
    found = _QUANTITY.fullmatch(quantity)
    if found is None:
        raise ValueError(
            f"{quantity!r} is no amount of storage; write a number and a unit: 10Gi, 500M"
        )
    number, suffix = Decimal(found["number"]), found["suffix"] or ""
    if suffix.endswith("i"):
        factor = Decimal(1024) ** ("KMGTPE".index(suffix[0]) + 1)
    elif suffix[:1] in ("e", "E") and len(suffix) > 1:
        factor = Decimal(10) ** int(suffix[1:])
    else:
        factor = Decimal(10) ** _POWERS[suffix]
    amount = int(_EXACT.multiply(number, factor).to_integral_value(ROUND_CEILING))
    if not 0 < amount <= _LARGEST:
        raise ValueError(f"{quantity!r} is {amount} bytes; write an amount of 1 to 2^63 - 1 bytes")
    return amount


def claim(
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    *,
    size: str,
    access_mode: str,
    storage_class: str | None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A PersistentVolumeClaim. ``storage_class`` is left out where it is ``None``: the cluster's
    default is filled in by the cluster."""
    spec: dict[str, Any] = {
        "accessModes": [access_mode],
        "resources": {"requests": {"storage": size}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return child(
        "v1",
        "PersistentVolumeClaim",
        name,
        namespace,
        labels,
        annotations=annotations,
        spec=spec,
    )
