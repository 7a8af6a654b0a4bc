"""The engines in the wheel: no download, loaded on first use, in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from wayside.engines.base import Engine
from wayside.settings import Task

WEIGHTS: Final = Path(__file__).with_name("weights")


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """One of them: what it can do, what it is for, and how it is loaded."""

    task: Task
    summary: str
    load: Callable[[], Engine]


def _static(name: str) -> Callable[[], Engine]:
    def load() -> Engine:
        from wayside.engines.static import StaticClassifier

        return StaticClassifier.load(WEIGHTS / f"{name}.model")

    return load


def _made(module: str, name: str) -> Callable[[], Engine]:
    def load() -> Engine:
        kind: Any = getattr(import_module(f"wayside.engines.{module}"), name)
        return cast(Engine, kind())

    return load


BUILT_IN: Final[dict[str, BuiltIn]] = {
    "domain": BuiltIn("classify", "What a prompt is about, in 14 fields.", _static("domain")),
    "fact_check": BuiltIn(
        "classify", "Whether an answer would rest on checkable facts.", _static("fact_check")
    ),
    "feedback": BuiltIn(
        "classify", "What a user's turn says about the answer before it.", _static("feedback")
    ),
    "complexity": BuiltIn(
        "classify", "How much reasoning an answer needs.", _static("complexity")
    ),
    "modality": BuiltIn(
        "classify", "Whether text, an image or both are asked for.", _static("modality")
    ),
    "safety": BuiltIn("classify", "What hazard a prompt touches, if any.", _static("safety")),
    "jailbreak": BuiltIn(
        "classify",
        "Whether a prompt attacks the model's instructions.",
        _made("jailbreak", "JailbreakDetector"),
    ),
    "jailbreak_response": BuiltIn(
        "classify",
        "Whether an answer gave in to an attack.",
        _made("jailbreak", "ResponseJailbreakDetector"),
    ),
    "pii": BuiltIn("mark", "Personal data and secrets.", _made("pii", "PiiRecogniser")),
    "grounding": BuiltIn(
        "mark",
        "Claims of an answer that its context does not support.",
        _made("grounding", "GroundingChecker"),
    ),
    "embedding": BuiltIn(
        "embed", "What a text means, as a vector.", _made("embedding", "StaticEmbedder")
    ),
}
"""By the name that settings use."""
