"""What part of the work a server does: reading prompts (prefill), writing answers (decode).

The label and its values are llm-d's (spec 4.3): ``decode``, ``prefill``, ``both``, and compounds
with a hyphen such as ``prefill-decode``. A server that says nothing does everything but prompts
of others.
"""

from __future__ import annotations

from collections.abc import Mapping

ROLE_LABEL = "llm-d.ai/role"


def roles(labels: Mapping[str, str], label: str = ROLE_LABEL) -> frozenset[str]:
    """The parts that a server does, of ``encode``, ``prefill`` and ``decode``."""
    return stages(labels.get(label, "")) if labels.get(label, "").strip() else _DECODE


def stages(said: str) -> frozenset[str]:
    """The parts that a label's value names."""
    found = set(said.strip().lower().split("-"))
    if "both" in found:
        found |= {"prefill", "decode"}
    return frozenset(found & {"encode", "prefill", "decode"})


_DECODE = frozenset({"decode"})


def prefills(labels: Mapping[str, str], label: str = ROLE_LABEL) -> bool:
    """Whether a server reads prompts whose answers another one writes."""
    return "prefill" in roles(labels, label)


def decodes(labels: Mapping[str, str], label: str = ROLE_LABEL) -> bool:
    """Whether a server writes answers."""
    return "decode" in roles(labels, label)
