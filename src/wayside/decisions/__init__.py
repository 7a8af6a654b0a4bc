"""Turn verdicts into one decision: rule trees, priorities, tiers, and what unknown means.

Semantics are those of vSR's decision engine (spec section 4): AND has the mean of its children's
confidences, OR the best child's, NOT 1.0, a missing rule holds with confidence 0. To these a third
truth value is added: a rule that depends on a signal nobody could evaluate is *unknown* (Kleene's
logic), and the decision's ``on_unknown`` says what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from wayside.selection import Candidate
from wayside.settings import Condition, DecisionSettings
from wayside.vocab.verdict import NO, SignalRef, Verdict, Verdicts

FALSE = -1.0
FATAL = -2.0
Truth = float | None
"""A confidence 0..1 when the rule holds, :data:`FALSE` when not, ``None`` when unknown.

:data:`FATAL` is an unknown that fails the request, whatever the decision says: a condition said
``on_unknown: fail_request``, and the rule turns on it. It spreads as unknown does, and before it.
"""
Rule = Callable[[Verdicts], Truth]


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """A compiled decision, equal only to itself. ``refs`` are the signals its rule reads."""

    name: str
    priority: int
    tier: int
    rule: Rule
    refs: tuple[SignalRef, ...]
    needs_a_match: bool
    """False when it can hold although no signal matched (NOT, comparisons below, catch-all)."""
    candidates: tuple[Candidate, ...]
    on_unknown: str
    settings: DecisionSettings = field(repr=False)


class Match(msgspec.Struct, frozen=True):
    """A decision that holds; ``unknown`` when nobody could tell and the request is to fail.

    Such a match has confidence 1, so it wins, and the request fails, exactly when the decision
    could have won.
    """

    decision: Decision
    confidence: float
    unknown: bool = False


def parse_ref(text: str) -> SignalRef:
    kind, _, name = text.partition(":")
    return SignalRef(kind, name)


def leaves(condition: Condition | None) -> Iterator[Condition]:
    """The signal conditions of a rule, left to right."""
    if condition is None:
        return
    if condition.signal is not None:
        yield condition
    for child in (*(condition.all or ()), *(condition.any or ())):
        yield from leaves(child)
    yield from leaves(condition.not_)


def compile_decision(d: DecisionSettings, candidates: tuple[Candidate, ...]) -> Decision:
    refs = tuple(dict.fromkeys(parse_ref(c.signal or "") for c in leaves(d.when)))
    rule = compile_rule(d.when)
    return Decision(
        name=d.name,
        priority=d.priority,
        tier=d.tier,
        rule=rule,
        refs=refs,
        needs_a_match=rule({}) == FALSE and not any(c.compares for c in leaves(d.when)),
        candidates=candidates,
        on_unknown=d.on_unknown,
        settings=d,
    )


def compile_rule(condition: Condition | None) -> Rule:
    """Compile once at load, so that deciding is only calls and dictionary look-ups."""
    if condition is None:
        return lambda verdicts: 0.0
    if condition.signal is not None:
        ref = parse_ref(condition.signal)
        leaf = _compare(ref, condition) if condition.compares else _leaf(ref)
        return leaf if condition.on_unknown is None else _settled(leaf, condition.on_unknown)
    if condition.not_ is not None:
        return _not(compile_rule(condition.not_))
    if condition.all is not None:
        return _all(tuple(compile_rule(c) for c in condition.all))
    return _any(tuple(compile_rule(c) for c in condition.any or ()))


def _leaf(ref: SignalRef) -> Rule:
    def leaf(verdicts: Verdicts) -> Truth:
        verdict = verdicts.get(ref)
        if verdict is None:
            return FALSE
        if verdict.matched:
            return verdict.confidence
        return None if verdict.unknown else FALSE

    return leaf


def _compare(ref: SignalRef, c: Condition) -> Rule:
    def compare(verdicts: Verdicts) -> Truth:
        verdict = verdicts.get(ref, NO)
        if verdict.unknown:
            return None
        x = verdict.confidence if verdict.value is None else verdict.value
        holds = (
            (c.gt is None or x > c.gt)
            and (c.gte is None or x >= c.gte)
            and (c.lt is None or x < c.lt)
            and (c.lte is None or x <= c.lte)
            and (c.eq is None or x == c.eq)
        )
        if not holds:
            return FALSE
        return verdict.confidence if verdict.matched else 1.0

    return compare


_SETTLED = {"no_match": FALSE, "match": 1.0, "fail_request": FATAL}


def _settled(leaf: Rule, on_unknown: str) -> Rule:
    """A condition that says itself what it means when its signal is unknown."""
    instead = _SETTLED[on_unknown]

    def settled(verdicts: Verdicts) -> Truth:
        truth = leaf(verdicts)
        return instead if truth is None else truth

    return settled


def _not(child: Rule) -> Rule:
    def negate(verdicts: Verdicts) -> Truth:
        truth = child(verdicts)
        if truth is None or truth == FATAL:
            return truth
        return 1.0 if truth < 0 else FALSE

    return negate


def _all(children: tuple[Rule, ...]) -> Rule:
    def conjunction(verdicts: Verdicts) -> Truth:
        total, unknown, fatal = 0.0, False, False
        for child in children:
            truth = child(verdicts)
            if truth is None:
                unknown = True
            elif truth == FATAL:
                fatal = True
            elif truth < 0:
                return FALSE
            else:
                total += truth
        if fatal:
            return FATAL
        if unknown:
            return None
        return total / len(children) if children else 0.0

    return conjunction


def _any(children: tuple[Rule, ...]) -> Rule:
    def disjunction(verdicts: Verdicts) -> Truth:
        best, unknown, fatal = FALSE, False, False
        for child in children:
            truth = child(verdicts)
            if truth is None:
                unknown = True
            elif truth == FATAL:
                fatal = True
            elif truth > best:
                best = truth
        if best >= 0:
            return best
        if fatal:
            return FATAL
        return None if unknown else FALSE

    return disjunction


class Decider:
    """Finds the decision that wins, looking only at those that could hold."""

    __slots__ = ("_always", "_by_ref", "_strategy", "decisions")

    def __init__(self, decisions: Sequence[Decision], strategy: str = "priority") -> None:
        self.decisions = tuple(decisions)
        self._strategy = strategy
        self._always = tuple(d for d in decisions if not d.needs_a_match)
        by_ref: dict[SignalRef, list[Decision]] = {}
        for decision in decisions:
            if decision.needs_a_match:
                for ref in decision.refs:
                    by_ref.setdefault(ref, []).append(decision)
        self._by_ref = {ref: tuple(found) for ref, found in by_ref.items()}

    def decide(self, verdicts: Verdicts) -> Match | None:
        """The winner, or ``None`` when nothing holds."""
        matches = self.matches(verdicts)
        if not matches:
            return None
        return matches[0] if len(matches) == 1 else min(matches, key=self.order(matches))

    def matches(self, verdicts: Verdicts) -> list[Match]:
        """Every decision that holds, in no particular order."""
        possible = dict.fromkeys(self._always)
        for ref, verdict in verdicts.items():
            if verdict.matched or verdict.unknown:
                for decision in self._by_ref.get(ref, ()):
                    possible[decision] = None
        found: list[Match] = []
        for decision in possible:
            truth = decision.rule(verdicts)
            if truth is None:
                if decision.on_unknown == "match":  # sure, as in vSR: a guard fails closed
                    found.append(Match(decision, 1.0))
                elif decision.on_unknown == "fail_request":
                    found.append(Match(decision, 1.0, unknown=True))
            elif truth >= 0:
                found.append(Match(decision, truth))
            elif truth == FATAL:
                found.append(Match(decision, 1.0, unknown=True))
        return found

    def order(self, matches: Sequence[Match]) -> Callable[[Match], tuple[float | str, ...]]:
        """Sort key, best first. Names end every tie, so the order written never matters."""
        if any(m.decision.tier > 0 for m in matches):
            return lambda m: (
                m.decision.tier,
                -m.confidence,
                -m.decision.priority,
                m.decision.name,
            )
        if self._strategy == "confidence":
            return lambda m: (-m.confidence, -m.decision.priority, m.decision.name)
        return lambda m: (-m.decision.priority, -m.confidence, m.decision.name)


@dataclass(frozen=True, slots=True)
class Trace:
    """Why a rule holds or does not: a tree for people, built only when someone asks."""

    text: str
    truth: Truth
    because: str = ""
    children: tuple[Trace, ...] = ()


def trace(condition: Condition | None, verdicts: Verdicts) -> Trace:
    """The rule with the truth of every node."""
    truth = compile_rule(condition)(verdicts)
    if truth == FATAL:
        truth = None
    if condition is None:
        return Trace("always", truth)
    if condition.signal is not None:
        verdict: Verdict = verdicts.get(parse_ref(condition.signal), NO)
        return Trace(_text(condition), truth, verdict.because)
    if condition.not_ is not None:
        return Trace("not", truth, children=(trace(condition.not_, verdicts),))
    children = condition.all if condition.all is not None else condition.any or ()
    name = "all" if condition.all is not None else "any"
    return Trace(name, truth, children=tuple(trace(c, verdicts) for c in children))


def _text(c: Condition) -> str:
    signs = (("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<="), ("eq", "="))
    tests = [f"{sign} {getattr(c, f)}" for f, sign in signs if getattr(c, f) is not None]
    return " ".join([c.signal or "", *tests])
