"""The response headers that say what happened: vSR's header contract, version 2 (spec 1.8)."""

from __future__ import annotations

from wayside.vocab.outcome import HeaderPairs, Record

SCHEMA: HeaderPairs = (("x-vsr-schema-version", "2"),)
UPSTREAM: HeaderPairs = (*SCHEMA, ("x-vsr-response-path", "upstream"))
ERROR: HeaderPairs = (*SCHEMA, ("x-vsr-response-path", "error"))
BLOCKED: HeaderPairs = (*SCHEMA, ("x-vsr-response-path", "blocked"))
LOCAL: HeaderPairs = SCHEMA
"""Answers of the router itself that are no completion (``/v1/models``)."""

PLURAL = {
    "keyword": "keywords",
    "domain": "domains",
    "embedding": "embeddings",
    "projection": "projections",
}
"""vSR names these kinds in the plural; every other kind is its own header name."""
_MODALITY = {"text": "AR", "image": "DIFFUSION", "both": "BOTH"}


def routed(recipe: str, decision: str, algorithm: str, model: str) -> HeaderPairs:
    """The headers of a routed response, but for the confidence."""
    return (
        *UPSTREAM,
        ("x-vsr-selected-recipe", header_text(recipe)),
        ("x-vsr-selected-decision", header_text(decision)),
        ("x-vsr-selected-algorithm", header_text(algorithm)),
        ("x-vsr-selected-model", header_text(model)),
    )


def early(path: str, recipe: str, decision: str, algorithm: str) -> HeaderPairs:
    """The headers of an answer that a plugin gave in the model's place."""
    fast: HeaderPairs = (("x-vsr-fast-response", "true"),) if path == "fast_response" else ()
    return (
        *SCHEMA,
        ("x-vsr-response-path", path),
        *fast,
        ("x-vsr-selected-recipe", header_text(recipe)),
        ("x-vsr-selected-decision", header_text(decision)),
        ("x-vsr-selected-algorithm", header_text(algorithm)),
    )


def merged(report: HeaderPairs, later: HeaderPairs) -> HeaderPairs:
    """``report`` with what the end of the answer added to it or says otherwise."""
    if not later:
        return report
    names = {name for name, _ in later}
    return (*(pair for pair in report if pair[0] not in names), *later)


def failed(report: HeaderPairs) -> HeaderPairs:
    """``report`` of a request that was routed, but whose model's server gave no answer."""
    return tuple(
        (name, "error" if name == "x-vsr-response-path" else value) for name, value in report
    )


def debug(record: Record) -> HeaderPairs:
    """What ``x-vsr-debug: true`` adds: every signal that matched, and what followed from them."""
    matched: dict[str, list[str]] = {}
    for ref, verdict in record.verdicts.items():
        if verdict.matched:
            matched.setdefault(ref.kind, []).append(ref.name)
    pairs = [
        (f"x-vsr-matched-{PLURAL.get(kind, kind).replace('_', '-')}", ",".join(sorted(names)))
        for kind, names in sorted(matched.items())
    ]
    if record.category:
        pairs.append(("x-vsr-selected-category", record.category))
    if record.reasoning is not None:
        pairs.append(("x-vsr-selected-reasoning", "on" if record.reasoning else "off"))
    if record.session:
        pairs.append(("x-vsr-session-phase", record.session))
    modality = _modality(record)
    if modality:
        pairs.append(("x-vsr-selected-modality", modality))
    if record.system_prompt is not None:
        said = "true" if record.system_prompt else "false"
        pairs.append(("x-vsr-injected-system-prompt", said))
    pairs.append(("x-vsr-context-token-count", str(record.tokens)))
    return tuple((name, header_text(value)) for name, value in pairs)


def _modality(record: Record) -> str:
    """``DIFFUSION;classifier``: the output that a modality signal saw, and who saw it. Its
    ``because`` reads ``image 0.91`` or ``its words ask for image``."""
    for ref, verdict in record.verdicts.items():
        if ref.kind == "modality" and verdict.matched:
            method = "keyword" if verdict.because.startswith("its words") else "classifier"
            for word in verdict.because.replace(",", " ").split():
                if word in _MODALITY:
                    return f"{_MODALITY[word]};{method}"
    return ""


def header_text(value: str) -> str:
    """``value`` as one line of printable ASCII, so that a name cannot forge a header."""
    if value.isascii() and value.isprintable():
        return value
    return value.encode("unicode_escape").decode()
