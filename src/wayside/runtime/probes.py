"""Probes of a recipe: prompts with the decision they ought to lead to, and whether they do.

The format is that of vSR's recipes (``probes.yaml`` beside ``config.yaml``): groups of variants
with what each group expects (decision, recipe, algorithm, model, plugins) and what a variant
expects of its own (signals that must match). Nothing is sent to any model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wayside.decisions import leaves, parse_ref
from wayside.dialects import encode, openai_chat
from wayside.flow import Choice
from wayside.runtime import Runtime
from wayside.vocab.errors import ConfigError, RequestError
from wayside.vocab.outcome import Request
from wayside.vocab.verdict import SignalRef

PARTS = ("decision", "recipe", "algorithm", "model", "plugins", "signals")
"""What a probe may expect, in the order in which failures are told."""
KINDS = {
    "keywords": "keyword",
    "embeddings": "embedding",
    "domains": "domain",
    "user_feedbacks": "user_feedback",
    "reasks": "reask",
    "preferences": "preference",
    "events": "event",
    "classifiers": "classifier",
    "projections": "projection",
    "role_bindings": "authz",
}
"""vSR's plural names of kinds; every other kind has one name."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One prompt and what is expected of it. Empty expectations are not checked."""

    group: str
    name: str
    body: Mapping[str, Any]
    decision: str | None = None
    recipe: str | None = None
    algorithm: str | None = None
    model: str | None = None
    plugins: tuple[str, ...] | None = None
    signals: tuple[SignalRef, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def expected(self) -> dict[str, Any]:
        """By part: what is expected, for the parts that are."""
        found = {part: getattr(self, part) for part in PARTS}
        return {part: value for part, value in found.items() if value not in (None, ())}


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that does not hold, and why."""

    part: str
    expected: str
    got: str
    why: str
    missing: bool = False
    """Whether it fails only because an importer says that this release lacks something."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one probe."""

    probe: Probe
    failures: tuple[Failure, ...]

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def routed(self) -> bool:
        """Whether all holds but what this release lacks by name."""
        return all(failure.missing for failure in self.failures)


def read(document: Any, auto: str) -> list[Probe]:
    """The probes of a document; ``auto`` is asked for where one names no model.

    Raises :class:`ConfigError` with the path of what is wrong.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("decisions"), list):
        raise ConfigError.one("a list of groups is expected", where="decisions")
    return [
        _probe(group, variant, f"decisions[{i}].variants[{j}]", auto)
        for i, group in enumerate(document["decisions"])
        for j, variant in enumerate(_list(group, "variants", f"decisions[{i}]"))
    ]


async def run(probes: Sequence[Probe], runtime: Runtime, lost: Mapping[str, str]) -> list[Result]:
    """Ask every probe. ``lost`` says, by decision, why an importer left it out."""
    return [await _run(probe, runtime, lost) for probe in probes]


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """Shares that hold, in all and by part, as plain data."""
    asked: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for result in results:
        asked.update(result.probe.expected.keys())
        failed.update({failure.part for failure in result.failures})
    return {
        "probes": len(results),
        "passed": sum(result.passed for result in results),
        "passed_but_for_what_is_missing": sum(result.routed for result in results),
        "parts": {
            part: {"asked": asked[part], "held": asked[part] - failed[part]}
            for part in PARTS
            if asked[part]
        },
    }


def plain(result: Result) -> dict[str, Any]:
    """One result as plain data."""
    return {
        "probe": f"{result.probe.group}/{result.probe.name}",
        "passed": result.passed,
        "failures": [
            {
                "part": f.part,
                "expected": f.expected,
                "got": f.got,
                "why": f.why,
                "missing": f.missing,
            }
            for f in result.failures
        ],
    }


async def _run(probe: Probe, runtime: Runtime, lost: Mapping[str, str]) -> Result:
    request = Request("POST", openai_chat.PATH, {}, encode(probe.body))
    try:
        _, choice = await runtime.explain(request, every_signal=True)
    except RequestError as error:
        got = f"refused: {error}"
        return Result(probe, (Failure("decision", probe.decision or "any", got, str(error)),))
    return Result(probe, tuple(_failures(probe, choice, lost)))


def _failures(probe: Probe, choice: Choice, lost: Mapping[str, str]) -> Iterator[Failure]:
    decision = choice.match.decision.name if choice.match else ""
    right = probe.decision is None or decision == probe.decision
    plugins = set(choice.match.decision.settings.plugins) if choice.match else set()
    elsewhere = f"another decision was taken: {decision or 'none'}"
    got = {
        "decision": decision,
        "recipe": choice.recipe.name,
        "algorithm": choice.algorithm,
        "model": choice.option.served.target.name,
    }
    for part, found in got.items():
        wanted = getattr(probe, part)
        if wanted is None or wanted == found:
            continue
        if part == "decision":
            why = _why_not(probe.decision or "", choice, lost)
        elif not right:
            why = elsewhere
        else:
            why = lost.get(f"{part}:{wanted}") or f"the configuration says {found or 'nothing'}"
        absent = right and f"{part}:{wanted}" in lost
        yield Failure(part, wanted, found or "none", why, absent)
    missing = [p for p in probe.plugins or () if p not in plugins]
    if missing:
        whys = [lost.get(f"plugins:{p}", "") or f"no plugin {p} on it" for p in missing]
        why = elsewhere if not right else "; ".join(whys)
        absent = right and all(f"plugins:{p}" in lost for p in missing)
        got_all = ", ".join(sorted(plugins)) or "none"
        yield Failure("plugins", ", ".join(missing), got_all, why, absent)
    silent = [ref for ref in probe.signals if not _matched(choice, ref)]
    if silent:
        said = [f"{ref}: {_said(choice, ref, lost)}" for ref in silent]
        names = ", ".join(map(str, silent))
        yield Failure("signals", names, "no match", "; ".join(said))


def _matched(choice: Choice, ref: SignalRef) -> bool:
    verdict = choice.verdicts.get(ref)
    return verdict is not None and verdict.matched


def _said(choice: Choice, ref: SignalRef, lost: Mapping[str, str]) -> str:
    """What a signal that was to match said instead."""
    verdict = choice.verdicts.get(ref)
    if verdict is None:
        return lost.get(str(ref), "it says no")
    state = "nobody could tell" if verdict.unknown else "it says no"
    return f"{state} ({verdict.because})" if verdict.because else state


def _why_not(wanted: str, choice: Choice, lost: Mapping[str, str]) -> str:
    """Why a decision was not taken: it is not there, it does not hold, or another came first."""
    decider = choice.recipe.decider
    decision = next((d for d in decider.decisions if d.name == wanted), None)
    if decision is None:
        return lost.get(wanted, f"recipe {choice.recipe.name} has no decision {wanted!r}")
    if any(m.decision is decision for m in decider.matches(choice.verdicts)):
        return "it holds, and another that holds comes before it"
    told = []
    for leaf in leaves(decision.settings.when):
        ref = parse_ref(leaf.signal or "")
        verdict = choice.verdicts.get(ref)
        if verdict is None:
            told.append(f"{ref} says no")
        else:
            mark = "yes" if verdict.matched else "unknown" if verdict.unknown else "no"
            told.append(f"{ref} {mark}" + (f" ({verdict.because})" if verdict.because else ""))
    return "its rule does not hold: " + "; ".join(told)


def _probe(group: Any, variant: Any, where: str, auto: str) -> Probe:
    if not isinstance(variant, Mapping):
        raise ConfigError.one("an object is expected", where=where)
    said = {**group, **variant}
    body: dict[str, Any] = {"model": said.get("model") or auto}
    if isinstance(said.get("messages"), list):
        body["messages"] = said["messages"]
    elif isinstance(said.get("query"), str):
        times = said.get("repeat", 1)
        if not isinstance(times, int) or not 1 <= times <= 1_000_000:
            raise ConfigError.one("a number of times is expected", where=f"{where}.repeat")
        text = " ".join([said["query"]] * times)
        body["messages"] = [{"role": "user", "content": text}]
    else:
        raise ConfigError.one("neither query nor messages", where=where)
    if isinstance(said.get("tools"), list):
        body["tools"] = said["tools"]
    signals = said.get("expected_signals") or {}
    if not isinstance(signals, Mapping):
        raise ConfigError.one("kinds with names expected", where=f"{where}.expected_signals")
    plugins = said.get("expected_plugins")
    return Probe(
        group=str(group.get("id", "")),
        name=str(variant.get("id", "")),
        body=body,
        decision=_text(said, "expected_decision"),
        recipe=_text(said, "expected_recipe"),
        algorithm=_text(said, "expected_algorithm"),
        model=_text(said, "expected_alias"),
        plugins=tuple(map(str, plugins)) if isinstance(plugins, list) else None,
        signals=tuple(
            SignalRef(KINDS.get(str(kind), str(kind)), str(name))
            for kind, names in signals.items()
            for name in (names if isinstance(names, list) else [names])
        ),
        tags=tuple(map(str, said.get("tags") or ())),
    )


def _list(owner: Any, key: str, where: str) -> list[Any]:
    found = owner.get(key) if isinstance(owner, Mapping) else None
    if not isinstance(found, list):
        raise ConfigError.one("a list is expected", where=f"{where}.{key}")
    return found


def _text(said: Mapping[str, Any], key: str) -> str | None:
    found = said.get(key)
    return found if isinstance(found, str) and found else None
