"""Whether an object still is as we applied it, from who owns its fields.

The API server keeps, for each manager of an object, the fields whose values are its own
(``metadata.managedFields``), and takes a field from all others when somebody changes it. So what
we applied holds as long as all of it is ours: no value has to be compared, and a server that
writes ``1`` for ``1000m``, or adds items to a list that is merged by name, is none the wiser.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from wayside.vocab.objects import section, sections

DIGEST: Final = "wayside.vllm.ai/applied"
"""Annotation of a child: the digest of what it was made from."""
_encode = msgspec.json.Encoder(order="deterministic").encode
_KEPT_META: Final = ("labels", "annotations", "ownerReferences", "finalizers")


def digest(desired: Mapping[str, Any]) -> str:
    """Equal for equal objects, whatever the order of their fields."""
    return hashlib.blake2b(_encode(desired), digest_size=12).hexdigest()


def without_nulls(value: Any) -> Any:
    """A copy of ``value`` without fields that are ``None``, which mean nothing to an apply."""
    text = _encode(value)
    plain = msgspec.json.decode(text)
    return _stripped(plain) if b"null" in text else plain


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _stripped(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return value


def ours(live: Mapping[str, Any], manager: str) -> Mapping[str, Any]:
    """The fields of ``live`` that ``manager`` has applied; nothing where it never did."""
    for entry in sections(section(live, "metadata").get("managedFields")):
        if entry.get("manager") == manager and entry.get("operation") == "Apply":
            return section(entry, "fieldsV1")
    return {}


def all_ours(desired: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """Whether every field of ``desired`` is among the ``fields`` of :func:`ours`."""
    if not fields:
        return False
    meta = section(desired, "metadata")
    wanted: dict[str, Any] = {
        k: v for k, v in desired.items() if k not in ("apiVersion", "kind", "metadata")
    }
    wanted["metadata"] = {k: meta[k] for k in _KEPT_META if k in meta}
    return _covered(wanted, fields)


def _covered(value: Any, fields: Mapping[str, Any]) -> bool:
    if not fields:  # a value, or a list or a map that is owned as a whole
        return True
    if isinstance(value, dict):
        for name, part in value.items():
            below = fields.get(f"f:{name}")
            if below is None:
                if part not in ([], {}):  # of which nothing is kept
                    return False
            elif not _covered(part, below):
                return False
        return True
    if isinstance(value, list):
        keyed = [(_decode(k[2:]), v) for k, v in fields.items() if k.startswith("k:")]
        return all(_item(item, fields, keyed) for item in value)
    return True


def _item(
    item: Any, fields: Mapping[str, Any], keyed: list[tuple[Any, Mapping[str, Any]]]
) -> bool:
    """Of a list that is merged: by the items' keys (``k:``), or by their values (``v:``). A key
    that ``item`` leaves out (``protocol``) has its default there."""
    if not isinstance(item, dict):
        return f"v:{_encode(item).decode()}" in fields
    for keys, below in keyed:
        if all(item.get(k, v) == v for k, v in keys.items()) and _covered(item, below):
            return True
    return False


def _decode(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
