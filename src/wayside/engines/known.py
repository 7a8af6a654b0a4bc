"""Public models that people name: what each does, and how its labels are called here.

A table of facts, so that ``{onnx: {model: llm-semantic-router/mmbert32k-pii-detector-merged}}``
needs no further settings. A model that is not in it works as well; its folder says what it is.
Names and sizes are from vLLM Semantic Router's model registry (``pkg/config/registry*.go``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from wayside.settings import Task

Labels = Mapping[str, str]

_JAILBREAK: Final = {"LABEL_0": "benign", "LABEL_1": "jailbreak"}
_FACT_CHECK_NAMED: Final = {
    "NO_FACT_CHECK_NEEDED": "no_fact_check_needed",
    "FACT_CHECK_NEEDED": "needs_fact_check",
}
_FACT_CHECK: Final = {
    "LABEL_0": "no_fact_check_needed",
    "LABEL_1": "needs_fact_check",
    **_FACT_CHECK_NAMED,
}
_FEEDBACK: Final = {
    "LABEL_0": "satisfied",
    "LABEL_1": "need_clarification",
    "LABEL_2": "wrong_answer",
    "LABEL_3": "want_different",
    "SAT": "satisfied",
    "NEED_CLARIFICATION": "need_clarification",
    "WRONG_ANSWER": "wrong_answer",
    "WANT_DIFFERENT": "want_different",
}
_UNSUPPORTED: Final = {"LABEL_0": "O", "LABEL_1": "unsupported", "supported": "O", "0": "O"}


@dataclass(frozen=True, slots=True)
class Known:
    """One public model."""

    task: Task
    note: str
    parameters: str
    labels: Labels = field(default_factory=dict)
    """The model's names for labels, and ours."""
    positive: tuple[str, ...] = ()
    """For guards: the labels whose largest probability over the windows counts."""
    pooling: str | None = None
    aliases: tuple[str, ...] = ()
    """Short names; also what vSR calls the folder under ``models/``."""


_MOM: Final = "llm-semantic-router/"
_BIG: Final = "307M"

KNOWN: Final[dict[str, Known]] = {
    f"{_MOM}mmbert32k-intent-classifier-merged": Known("classify", "domain, 14 labels", _BIG),
    f"{_MOM}mmbert32k-jailbreak-detector-merged": Known(
        "classify", "jailbreak, 2 labels", _BIG, _JAILBREAK, ("jailbreak",)
    ),
    f"{_MOM}mmbert32k-pii-detector-merged": Known("mark", "personal data, 17 types, BIO", _BIG),
    f"{_MOM}mmbert32k-factcheck-classifier-merged": Known(
        "classify", "whether facts are to be checked", _BIG, _FACT_CHECK
    ),
    f"{_MOM}mmbert32k-feedback-detector-merged": Known(
        "classify", "what a user says of an answer", _BIG, _FEEDBACK
    ),
    f"{_MOM}mmbert32k-modality-router-merged": Known("classify", "text, image or both", _BIG),
    f"{_MOM}mmbert-embed-32k-2d-matryoshka": Known(
        "embed",
        "768 numbers, or 512, 256, 128, 64",
        _BIG,
        pooling="mean",
        aliases=("mom-embedding-ultra",),
    ),
    f"{_MOM}multi-modal-embed-small": Known("embed", "384 numbers; its text half", ""),
    f"{_MOM}feedback-detector": Known(
        "classify", "as above, English", "149M", _FEEDBACK, aliases=("mom-feedback-detector",)
    ),
    f"{_MOM}mmbert-pii-detector-merged": Known(
        "mark", "personal data, BIO", "149M", aliases=("mom-mmbert-pii-detector",)
    ),
    f"{_MOM}halugate-sentinel": Known(
        "classify",
        "whether facts are to be checked",
        "110M",
        _FACT_CHECK_NAMED,
        aliases=("mom-halugate-sentinel",),
    ),
    f"{_MOM}jailbreak_classifier_modernbert-base_model": Known(
        "classify",
        "jailbreak, 2 labels",
        "149M",
        _JAILBREAK,
        ("jailbreak",),
        aliases=("mom-jailbreak-classifier",),
    ),
    "Qwen/Qwen3-Embedding-0.6B": Known(
        "embed", "1024 numbers", "600M", pooling="last", aliases=("mom-embedding-pro",)
    ),
    "google/embeddinggemma-300m": Known(
        "embed",
        "768 numbers; gated: needs HF_TOKEN",
        "300M",
        aliases=("mom-embedding-flash",),
    ),
    "sentence-transformers/all-MiniLM-L12-v2": Known(
        "embed", "384 numbers", "33M", pooling="mean", aliases=("mom-embedding-light",)
    ),
    "sentence-transformers/all-MiniLM-L6-v2": Known("embed", "384 numbers", "23M", pooling="mean"),
    "KRLabsOrg/lettucedect-base-modernbert-en-v1": Known(
        "mark",
        "claims that a context does not support",
        "149M",
        _UNSUPPORTED,
        aliases=("mom-halugate-detector",),
    ),
    "KRLabsOrg/lettucedect-v2-mmbert-base": Known(
        "mark", "the same, multilingual", _BIG, _UNSUPPORTED
    ),
    "tasksource/ModernBERT-base-nli": Known(
        "classify",
        "entailment, neutral or contradiction",
        "149M",
        aliases=("mom-halugate-explainer",),
    ),
}
"""By hub repository."""


def repository(name: str) -> str | None:
    """The repository that a name means: itself, an alias, or vSR's ``models/<folder>``."""
    wanted = name.removeprefix("models/").strip("/").lower()
    for full, model in KNOWN.items():
        names = (full, full.partition("/")[2], *model.aliases)
        if wanted in (n.lower() for n in names):
            return full
    return None
