"""Whatever a spec says: no failure, and no configuration that a router would refuse.

The operator has no compiler of policies (its ring is further out), so this is what shows that what
:func:`wayside.resources.semantic_router.config.make` takes for good is good.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.translate.cases import SHARED
from wayside.resources.semantic_router import config
from wayside.resources.semantic_router.config import RouterConfig
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.settings.load import parse

from .goldens import CASES, ONE, load, make, spec_of

CORPUS = SHARED / "data" / "vsr-configs"
TRIALS = 400
ODD: tuple[Any, ...] = (
    "", 0, -1, 1e9, None, True, "x", [], {}, "auto", "true", ["x"], {"a": 1}, "a" * 300, "${X}",
    "$$", "prompt_guard", "everything_else", "../..", "http://h", "\u0000", "\U0001f600",
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        yield from places(inner, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def mutated(spec: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """Something left out, put in another's place, written twice, or odd."""
    spec = copy.deepcopy(spec)
    for _ in range(dice.randint(1, 3)):
        paths = [path for path in places(spec) if path]
        if not paths:
            return spec
        path = dice.choice(paths)
        owner, key = at(spec, path[:-1]), path[-1]
        choice = dice.random()
        if choice < 0.25:
            del owner[key]
        elif choice < 0.6:
            alike = [at(spec, p) for p in paths if type(at(spec, p)) is type(owner[key])]
            owner[key] = copy.deepcopy(dice.choice(alike))
        elif choice < 0.75 and isinstance(owner, list):
            owner.append(copy.deepcopy(owner[key]))
        else:
            owner[key] = copy.deepcopy(dice.choice(ODD))
    return spec


def starts(made: RouterConfig, folder: Path) -> None:
    """Raise what the router would refuse to start with."""
    (folder / "tools_db.json").write_text(made.tools, encoding="utf-8")
    text = made.text.replace(config.CONFIG_DIR, str(folder))
    env = {"EMBEDDING_KEY": "x", "X": "x"}
    compile_policy(RouterSettings.model_validate(parse(text, env)))


def test_what_is_made_of_any_spec_is_something_that_a_router_starts_with(tmp_path: Path) -> None:
    """A1-95: hundreds of damaged specs: a mistake is told, and what is accepted compiles."""
    dice = random.Random(20261121)
    specs = [load(case) for case in CASES]
    counts: Counter[str] = Counter()
    for _ in range(TRIALS):
        spec = mutated(dice.choice(specs), dice)
        try:
            spec_of(spec)
        except (ValidationError, TypeError):
            counts["refused by the schema"] += 1
            continue
        made = make(spec)
        assert (made.settings is None) == bool(made.problems)
        if made.settings is None:
            counts["refused"] += 1
            continue
        starts(made, tmp_path)
        counts["started"] += 1
    assert min(counts.values()) > TRIALS / 20, counts


@pytest.mark.parametrize("depth", [100, 5_000])
def test_a_spec_that_is_nested_without_end_is_told(depth: int) -> None:
    """A1-95: `config.routing` may hold whatever the API server stores."""
    rule: dict[str, Any] = {"type": "domain", "name": "law"}
    for _ in range(depth):
        rule = {"operator": "AND", "conditions": [rule]}
    decision = {"name": "d", "rules": rule, "modelRefs": [{"model": "m"}]}

    made = make({"config": {"routing": {"decisions": [decision]}}})

    assert bool(made.settings) is (depth == 100)
    assert made.problems == (
        () if depth == 100 else ("spec: nested too deep to be read; write it with less inside",)
    )


def _routings() -> list[tuple[str, dict[str, Any], list[str]]]:
    """Public routing documents, and the models that they name."""
    found = []
    for path in sorted(CORPUS.rglob("*.yaml")) if CORPUS.is_dir() else ():
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            routing = document.get("routing") if isinstance(document, dict) else None
            if isinstance(routing, dict):
                cards = [card["name"] for card in routing.get("modelCards", ())]
                used = [
                    ref["model"]
                    for decision in routing.get("decisions", ())
                    for ref in decision.get("modelRefs", ())
                ]
                names = list(dict.fromkeys([*cards, *used])) or ["m"]
                found.append((str(path.relative_to(CORPUS)), routing, names))
    return found


@pytest.mark.shared
@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/data/vsr-configs is not here")
@pytest.mark.parametrize(
    ("routing", "models"),
    [pytest.param(routing, models, id=name) for name, routing, models in _routings()],
)
def test_a_public_routing_in_a_resource_starts_or_is_refused(
    routing: dict[str, Any], models: list[str], tmp_path: Path
) -> None:
    """A1-95, A1-101: canonical routing as published, under `config.routing`."""
    endpoints = [{**ONE, "name": f"e{i}", "model": name} for i, name in enumerate(models)]

    made = make({"vllmEndpoints": endpoints, "config": {"routing": routing}})

    if made.settings is not None:
        starts(made, tmp_path)
        assert len(made.settings.routing.decisions) >= len(routing.get("decisions", ()))
    else:
        assert all(problem.startswith("spec.config.routing.") for problem in made.problems)
        assert any(word in " ".join(made.problems) for word in _REASONS)


_REASONS = ("nothing defines", "is not copied", "it would never match", "no external model",
            "has no adapter")  # fmt: skip
"""What is wrong with those that are refused: they refer to what is in another file, or hold a
key."""
