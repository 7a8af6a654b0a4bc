"""Every public vSR configuration at hand is read, loads, compiles, and says what is missing.

``tests/golden/translate/shared.txt`` keeps one line per file: what was mapped, and how many notes
of each severity. A change there is a change of what an operator's import gives.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from wayside.runtime.compile import compile_policy
from wayside.settings import RouterSettings
from wayside.translate import Translation, translate_all

from .cases import GOLDEN, SHARED, documents, updating

CORPUS = SHARED / "data" / "vsr-configs"
FILES = sorted(p for p in CORPUS.rglob("*") if p.is_file())
NOT_CONFIGURATIONS = {
    "flat/v0.1-block-20.yaml",  # patterns of a model registry
    "flat/v0.1-block-26.yaml",  # buckets of a metric
    "flat/v0.1-block-28.yaml",
    "tools_db.json",  # a list of tools
}
SECRETS = ("static-demo-key", "redis-secret", "milvus-secret", "router-secret", "openai-image-key")

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not FILES, reason="../shared/data/vsr-configs is not here"),
]


def _name(path: Path) -> str:
    return str(path.relative_to(CORPUS))


def _translated(path: Path) -> Translation | None:
    docs = documents(path)
    if not all(isinstance(d, dict) for d in docs):
        return None
    return translate_all(docs, hint=path.stem)


def _is_configuration(path: Path) -> bool:
    name = _name(path)
    return name not in NOT_CONFIGURATIONS and path.stem not in ("metadata", "probes")


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_public_file_is_read_or_is_no_configuration(path: Path) -> None:
    translation = _translated(path)

    assert (translation is not None) == _is_configuration(path)
    if translation is not None:
        RouterSettings.model_validate(translation.settings)
        assert not [n for n in translation.notes if n.severity == "unknown"]
        everything = json.dumps(translation.settings) + "".join(map(str, translation.notes))
        assert not [s for s in SECRETS if s in everything]


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.stem.startswith(("config", "v0.1-complete"))], ids=_name
)
def test_a_whole_public_configuration_compiles(path: Path) -> None:
    translation = _translated(path)
    assert translation is not None

    policy = compile_policy(
        RouterSettings.model_validate(translation.settings), needs_endpoints=False
    )

    decisions = translation.settings["routing"].get("decisions", ())
    assert set(policy.recipes["default"].selectors) == {d["name"] for d in decisions}


def test_what_the_corpus_gives_does_not_change_unseen() -> None:
    lines = []
    for path in FILES:
        translation = _translated(path)
        if translation is not None:
            lines.append(f"{_name(path)}: {_summary(translation)}\n")
    expected = GOLDEN / "shared.txt"
    if updating():
        expected.write_text("".join(lines), encoding="utf-8")

    assert "".join(lines) == expected.read_text(encoding="utf-8")


def _summary(translation: Translation) -> str:
    settings = RouterSettings.model_validate(translation.settings)
    recipes = {"": settings.routing, **settings.recipes}
    rules: Counter[str] = Counter()
    for routing in recipes.values():
        rules.update({kind: len(named) for kind, named in routing.signals.items()})
    notes = Counter(n.severity for n in translation.notes)
    left_out = sum("the decision is left out" in n.what for n in translation.notes)
    parts = {
        "models": len(settings.models),
        "endpoints": sum(len(m.endpoints) for m in settings.models.values()),
        "decisions": sum(len(r.decisions) for r in recipes.values()),
        "left out": left_out,
        **dict(sorted(rules.items())),
        **dict(sorted(notes.items())),
    }
    shown = ", ".join(f"{key} {value}" for key, value in parts.items() if value)
    return f"{translation.format}: {shown or 'nothing'}"


def test_a_pool_and_its_route_give_what_their_merged_form_gives() -> None:
    base = documents(CORPUS / "pool-and-route" / "base-config.yaml")
    for path in sorted((CORPUS / "pool-and-route" / "input").glob("*.yaml")):
        ours = translate_all([*base, *documents(path)])
        theirs = translate_all(documents(CORPUS / "pool-and-route" / "output" / path.name))

        assert ours is not None
        assert theirs is not None
        # The merged form also says that responses are not kept, which the base leaves unsaid.
        assert theirs.settings.pop("responses") == {"enabled": False}
        # It still points to a cluster, where the two given together have all there is.
        assert theirs.settings.pop("registry") == {"routes": True}
        assert _rounded(ours.settings) == _rounded(theirs.settings), path.name


def _rounded(value: Any) -> Any:
    """Prices per token and per million differ in their last digit."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return round(value, 9) if isinstance(value, float) else value
