"""The journey of one request, top to bottom. Read this file first.

bytes -> body -> (a concrete model: straight through)
              -> prompt -> verdicts -> decision -> candidate -> plugins -> bytes
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import GeneratorType
from typing import Any
from urllib.parse import unquote

import msgspec

from wayside.decisions import Decider, Decision, Match
from wayside.decisions.projections import NONE, Projections
from wayside.dialects import Body, check_headers, check_once
from wayside.dialects.answers import JSON, STREAM
from wayside.dialects.openai_responses import PATH as RESPONSES_PATH
from wayside.dialects.openai_responses import ResponsesBody
from wayside.dialects.whole import Answer
from wayside.flow import (
    executed,
    judging,
    messages,
    named_by_path,
    protocols,
    report,
    responses,
    rights,
)
from wayside.flow.access import admitted
from wayside.flow.compose import Composer, composed
from wayside.flow.fallback import Fallbacks, Instead, again
from wayside.flow.protocols import BODIES, Departure, depart, parsed
from wayside.flow.reasoning import set_reasoning
from wayside.flow.responses import NOTHING_KEPT, Keeping
from wayside.flow.sticky import Settled, Sticky, owner, remember
from wayside.flow.tap import UNANSWERED, ReplyTap, tell
from wayside.plugins import NO_ROUTE, Draft, Early, Plugin, Route
from wayside.selection import Candidate, Picked, Scores, Selector, pick
from wayside.settings import ReasoningFamily
from wayside.signals import Reading, Signal
from wayside.vocab.access import Caller
from wayside.vocab.ask import Bank, Flow, Now, ask, gather
from wayside.vocab.errors import Abandoned, AskFailed, RequestError
from wayside.vocab.headers import CREDENTIALS, DEBUG, SELECTED_MODEL
from wayside.vocab.identity import NOBODY, Identity
from wayside.vocab.outcome import (
    Call,
    Forward,
    HeaderPairs,
    Outcome,
    Record,
    Reply,
    Request,
    Target,
)
from wayside.vocab.prompt import NOTHING, Prompt
from wayside.vocab.taught import Taught
from wayside.vocab.usage import tokens_told
from wayside.vocab.verdict import SignalRef, Verdict, Verdicts

MODELS_PATH = "/v1/models"
MODEL = ("model",)
NAMED = "named"
"""The algorithm, as reports tell it, of a model that the client named."""
_JSON = "application/json"


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A concrete name a client may ask for, or a candidate's: where it goes and how it is asked.

    ``upstream_name`` is the body's ``model``; a body that already says so is not touched.
    """

    target: Target
    upstream_name: str
    headers: HeaderPairs
    """Static headers upstream: ``x-selected-model`` and the model's own."""
    remove: tuple[str, ...]
    report: HeaderPairs
    record: Record
    fallbacks: Fallbacks | None = None
    """Who answers in its place."""

    def set_headers(self, given: Mapping[str, str] = NOTHING) -> HeaderPairs:
        """The headers to set, with the credential as it is at this moment, or the user's own key
        where it is ``given`` and may be. Raises :class:`RequestError` where there is neither.

        A body that was said to be something else, as curl says it of every ``-d``, goes on as the
        JSON that was read: servers refuse it otherwise, or read it in another way than we did.
        """
        users, credential, headers = self.target.user_key, self.target.credential, self.headers
        if not given.get("content-type", _JSON).lower().startswith(_JSON):
            headers = (*headers, ("content-type", _JSON))
        if users is not None:
            key = given.get(users.source)
            if key:
                return (*headers, (users.header, users.prefix + key))
            if credential is None:
                raise RequestError(
                    f"This model needs a key of your own: send it in {users.source}.",
                    status=401,
                    code="missing_api_key",
                )
        return headers if credential is None else (*headers, credential.pair())


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """What follows when a decision chose a candidate: everything known before the request."""

    served: Served
    candidate: Candidate
    report: HeaderPairs
    plugins: tuple[Plugin, ...] = ()
    family: ReasoningFamily | None = None
    effort: str = "medium"
    effort_at_top_level: bool = False
    fallbacks: Fallbacks | None = None
    """Who answers in its place."""


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """One set of signals and decisions, and the model that answers when none of them holds."""

    name: str
    signals: Mapping[str, tuple[Signal, tuple[str, ...]]]
    """By kind, with the names of its rules."""
    decider: Decider
    selectors: Mapping[str, tuple[str, Selector]]
    """By decision: the algorithm's name, and the algorithm."""
    options: Mapping[tuple[str, Candidate], Option]
    """By decision name and candidate."""
    default: Option | None
    every_signal: Mapping[str, tuple[Signal, tuple[str, ...]]]
    """Also the rules that no decision reads, for those who ask to see them all."""
    plugins: Mapping[str, tuple[Plugin, ...]] = field(default_factory=dict)
    """By decision, for requests that name their model."""
    policies: Mapping[str, str] = field(default_factory=dict)
    """By decision: a digest of the settings that its answers depend on."""
    composers: Mapping[str, Composer] = field(default_factory=dict)
    """By decision, where its algorithm asks models itself."""
    rules: Mapping[SignalRef, Any] = field(default_factory=dict)
    """The settings of every rule, for those who ask why; routing never looks at them."""
    identity: Identity = NOBODY
    projections: Projections = NONE
    sticky: Mapping[str, Sticky] = field(default_factory=dict)
    """By decision, where conversations keep their model."""
    learning: frozenset[str] = frozenset()
    """The decisions whose algorithm goes by outcomes."""
    judged: bool = False
    """Whether outcomes of its requests may be told, so that it matters whose they are."""

    def prompt(
        self, body: Body, headers: Mapping[str, str], caller: Caller | None = None
    ) -> Prompt:
        """What its signals read."""
        check_headers(headers)
        return self.identity.told(body.prompt(headers), headers, caller)


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Settings, compiled. Replaced whole on reload; a request keeps the one it started with."""

    recipes: Mapping[str, Recipe]
    """By recipe name, for people; the default recipe is ``default``."""
    virtual: Mapping[str, Recipe]
    """By the model names that ask us to choose."""
    concrete: Mapping[str, Served]
    """By the model names that go straight through."""
    listing: Mapping[str, bytes]
    """The items of ``GET /v1/models``, by name."""
    targets: tuple[Target, ...] = field(default=())
    guard: Recipe | None = None
    """Judges requests that name a model, too: its plugins run, the model stays."""
    banks: tuple[Bank, ...] = ()
    """The examples that its signals compare prompts with."""
    engines: frozenset[str] = frozenset()
    """The names of the engines that its signals and plugins ask."""
    stores: frozenset[str] = frozenset()
    """The names of the stores that its plugins ask."""
    responses: Keeping = NOTHING_KEPT
    """Where answers of the Responses API are kept."""
    taught: tuple[tuple[str, Taught], ...] = ()
    """The trained selectors of its decisions, and where their settings stand."""
    asked_about: frozenset[str] = frozenset()
    """The models whose servers' own words a decision goes by."""
    places: Mapping[str, named_by_path.Place] = field(default_factory=dict)
    """The names by which paths name models (``/<name>/v1/...``); empty where none may."""
    gone: frozenset[str] = frozenset()
    """Names that were concrete under earlier settings, where clients are told to come back."""


def answer(
    policy: Policy, request: Request, dice: float, came: bytes | None = None
) -> Outcome | Flow[Outcome]:
    """Where a request goes. Concrete names are answered at once; others may have to ask. ``came``
    is the body as the client sent it, where ``request`` has another."""
    path, _, _query = request.path.partition("?")
    parse = BODIES.get(path)
    if parse is None:
        return _other_path(policy, request, path, dice)
    if request.method != "POST":
        raise _wrong_method(request.method, path, "POST")
    body = parsed(parse, request)
    if request.caller is not None:
        going = admitted(request.caller, request, body, lambda r, b: _asked(policy, r, b, dice))
        return executed.told(request.body if came is None else came, body.model, going)
    return _asked(policy, request, body, dice)


def _asked(policy: Policy, request: Request, body: Body, dice: float) -> Outcome | Flow[Outcome]:
    """By what its answers are: kept ones, or any."""
    if isinstance(body, ResponsesBody):
        return responses.create(
            policy.responses, request, body, lambda: _placed(policy, request, body, dice)
        )
    return _placed(policy, request, body, dice)


def _placed(policy: Policy, request: Request, body: Body, dice: float) -> Outcome | Flow[Outcome]:
    """By the model that it names: written once, as all that is judged must be."""
    recipe = policy.virtual.get(body.model)
    if recipe is not None:
        if body.needs_model:
            raise RequestError(body.needs_model, param="model")
        check_once(request.body, body.judged)
        return route(recipe, request, body, dice)
    check_once(request.body, body.judged if policy.guard is not None else MODEL)
    served = named(policy, body.model, request.caller)
    if policy.guard is not None:
        return guarded(policy.guard, served, request, body, dice)
    return _pass_through(served, request, body)


def _pass_through(served: Served, request: Request, body: Body) -> Forward:
    """No signals, no decision, no plugin: the client said which model it wants."""
    record = served.record
    if body.stream or body.model != record.requested:
        record = msgspec.structs.replace(record, stream=body.stream, requested=body.model)
    target = served.target
    sent = depart(body, request, target, served.upstream_name, None, watched=False)
    headers = served.set_headers(request.headers)
    removed, report, tap = served.remove, served.report, None
    if sent.translated:
        headers, removed, report = _translated(headers, removed, report, sent)
        if sent.upstream is not None or sent.client is not None:
            tap = ReplyTap((), (), sent.upstream, sent.client)
    forward = Forward(
        target=target,
        path=sent.path,
        body=sent.body,
        changed=sent.body is not request.body,
        set_headers=headers,
        remove_headers=removed,
        report=report,
        record=record,
        tap=tap,
        trim=sent.trim,
    )
    if served.fallbacks is None:
        return forward
    fallbacks = rights.standing_in(served.fallbacks, request.caller)
    if fallbacks is None:
        return forward
    instead = Instead(fallbacks, lambda other: _pass_through(other.served, request, body))
    return instead.of(forward)


def _translated(
    headers: HeaderPairs, removed: tuple[str, ...], report: HeaderPairs, sent: Departure
) -> tuple[HeaderPairs, tuple[str, ...], HeaderPairs]:
    """With what a change of API adds to the request and to the answer; what an operator set
    stands."""
    names = {name for name, _ in headers}
    more = tuple([pair for pair in sent.headers if pair[0] not in names])
    return (*headers, *more), (*removed, *sent.removed), (*report, *sent.report)


def route(recipe: Recipe, request: Request, body: Body, dice: float) -> Flow[Outcome]:
    """The whole journey of a prompt."""
    prompt = recipe.prompt(body, request.headers, request.caller)
    choice = yield from choose(recipe, prompt, dice, request.caller)
    if choice.settled is not None:
        yield from remember(choice.settled)
    return (yield from _carry_out(choice, request, body, prompt, dice))


def guarded(
    recipe: Recipe, served: Served, request: Request, body: Body, dice: float
) -> Flow[Outcome]:
    """A request that names its model: the decisions of ``recipe`` may stop or change it, and
    watch its answer, but not send it elsewhere."""
    prompt = recipe.prompt(body, request.headers, request.caller)
    verdicts, match = yield from judge(recipe, prompt)
    if match is None:
        return _pass_through(served, request, body)
    name = match.decision.name
    option = Option(
        served=served,
        candidate=Candidate(served.target.name),
        report=report.routed(recipe.name, name, NAMED, served.target.name),
        plugins=recipe.plugins[name],
        fallbacks=served.fallbacks,
    )
    choice = Choice(recipe, verdicts, match, NAMED, option)
    return (yield from _carry_out(choice, request, body, prompt, dice))


def _carry_out(
    choice: Choice, request: Request, body: Body, prompt: Prompt, dice: float
) -> Flow[Outcome]:
    """Plugins, then the request as it goes upstream."""
    plugins = choice.option.plugins
    going = _route(choice, request, body) if plugins else NO_ROUTE
    draft = Draft(body.edit, choice.verdicts, going, request.body)
    try:
        for plugin in plugins:
            asking = plugin.before(prompt, draft)
            if asking is not None:
                yield from asking
            if draft.early is not None:
                break
    except (RequestError, Abandoned):
        yield from tell(draft.witnesses, UNANSWERED)
        raise
    if draft.early is not None:
        early = draft.early
        status = early.status if early.refuse else 200
        now = yield from ask(Now())
        reply = _early(choice, early, request, body, prompt, int(now), dice)
        if draft.witnesses:
            after = tell(draft.witnesses, Answer(path=early.path, status=status))
            reply = msgspec.structs.replace(reply, after=after)
        return reply
    if choice.denied is not None:
        yield from tell(draft.witnesses, UNANSWERED)
        choice.denied.record = _record(choice, body, prompt, model="", path="error")
        raise choice.denied
    if choice.composer is not None:
        record = _record(choice, body, prompt, model="", path="looper")
        return (yield from composed(choice.composer, record, draft, request, body, prompt, dice))
    try:
        return _send(choice, draft, request, body, prompt)
    except RequestError:
        yield from tell(draft.witnesses, UNANSWERED)
        raise


def _route(choice: Choice, request: Request, body: Body) -> Route:
    """Where a request goes, as plugins may know it."""
    option, target = choice.option, choice.option.served.target
    path, mark, query = request.path.partition("?")
    path = "" if body.translates else path  # all conversations are told alike
    decision = choice.match.decision.name if choice.match else ""
    effort = (option.candidate.reasoning, option.family, option.effort)
    return Route(
        recipe=choice.recipe.name,
        decision=decision,
        requested=body.model,
        model=target.name,
        upstream=f"{target.base_path} {option.served.upstream_name} {path}{mark}{query}",
        reasoning="" if effort[0] is None else repr((*effort, option.effort_at_top_level)),
        headers=option.served.headers,
        policy=choice.recipe.policies.get(decision, ""),
        as_is=body.protocol == target.protocol != "openai",
    )


class Choice(msgspec.Struct, frozen=True, eq=False):
    """What was decided about a prompt, and from what."""

    recipe: Recipe
    verdicts: Mapping[SignalRef, Verdict]
    match: Match | None
    algorithm: str
    option: Option
    why: str = ""
    """What the algorithm says of its choice."""
    scores: Scores = ()
    """What each candidate that may answer is worth to it, in the order of the decision."""
    calls: tuple[Call, ...] = ()
    """What the algorithm asked models in order to choose."""
    composer: Composer | None = None
    """Answers itself, when plugins have run."""
    settled: Settled | None = None
    """What became of the conversation; not yet remembered."""
    denied: RequestError | None = None
    """Why no model answers whoever asks, once plugins have run."""


def judge(recipe: Recipe, prompt: Prompt) -> Flow[tuple[Verdicts, Match | None]]:
    """Signals and the decision they lead to, if any."""
    verdicts: Verdicts = yield from read_signals(recipe.signals, prompt)
    if recipe.projections is not NONE:
        verdicts = recipe.projections.apply(verdicts)
    match = recipe.decider.decide(verdicts)
    if match is not None and match.unknown:
        raise _undecidable(recipe.name, match.decision, verdicts)
    return verdicts, match


def choose(
    recipe: Recipe, prompt: Prompt, dice: float, caller: Caller | None = None
) -> Flow[Choice]:
    """Signals, decision, selection: which model should answer, and why. Of the decision's models
    only those count that ``caller`` may use."""
    verdicts, match = yield from judge(recipe, prompt)
    if match is None:
        return _by_default(recipe, verdicts, None, caller)
    name, candidates = match.decision.name, rights.allowed(match.decision.candidates, caller)
    composer = recipe.composers.get(name)
    composes = composer is not None and composer.selector is not None
    if composer is not None and caller is not None:
        composer = rights.narrowed(composer, caller)
    if composes and composer is not None:
        algorithm, _ = recipe.selectors[name]
        option = recipe.options[name, composer.candidates[0]]
        why = composer.why
        return Choice(recipe, verdicts, match, algorithm, option, why, composer=composer)
    if composes or not candidates:
        return _by_default(recipe, verdicts, match, caller)
    algorithm, selector = recipe.selectors[name]
    if name in recipe.learning:
        prompt = msgspec.structs.replace(prompt, category=_category(verdicts))
    picking = pick(selector, prompt, candidates, dice)
    ledger = None if composer is None else composer.ledger()
    try:
        picked = yield from (picking if ledger is None else ledger.kept(picking))
    except AskFailed as failed:  # vSR's fallback chain: an algorithm that fails takes the first
        picked = Picked(candidates[0], f"the first, for want of an answer: {failed}")
    sticky, scores = recipe.sticky.get(name), picked.scores
    settled = None
    if sticky is not None:
        settled = yield from sticky.settle(prompt, candidates, picked)
        picked = picked if settled is None else settled.picked
    option = recipe.options[name, picked.candidate]
    calls = () if ledger is None else tuple(ledger.calls)
    return Choice(
        recipe, verdicts, match, algorithm, option, picked.why, scores, calls, settled=settled
    )


def _by_default(
    recipe: Recipe, verdicts: Verdicts, match: Match | None, caller: Caller | None
) -> Choice:
    """No decision holds, or the one that does has no model for ``caller``: the default answers, if
    it may. Where nothing may, the plugins of the decision run all the same."""
    decision, default = match.decision if match else None, recipe.default
    unserved = recipe.options.get((decision.name, NO_MODEL)) if decision else None
    if unserved is not None:
        return Choice(recipe, verdicts, match, "default", unserved)
    if default is None and (decision is None or not decision.candidates):
        raise RequestError(
            "Unable to route the request: no decision matched and there is no default model.",
            code="no_model_selected",
        )
    if caller is not None and (default is None or not caller.may(default.candidate.model)):
        guards = recipe.plugins[decision.name] if decision else ()
        guards = tuple([g for g in guards if not getattr(g, "creates", False)])
        nothing = Option(NOWHERE, NO_MODEL, (), guards)
        denied = rights.none_left(decision, caller)
        return Choice(recipe, verdicts, match, "default", nothing, denied=denied)
    assert default is not None
    if decision is None:
        return Choice(recipe, verdicts, None, "default", default)
    if not decision.candidates and decision.name not in recipe.composers:
        option = recipe.options[decision.name, default.candidate]
        return Choice(recipe, verdicts, match, "default", option)
    said = report.routed(recipe.name, decision.name, "default", default.candidate.name)
    plugins = recipe.plugins[decision.name]
    option = dataclasses.replace(default, report=said, plugins=plugins)
    why = "the default, as its own models may not be used"
    return Choice(recipe, verdicts, match, "default", option, why)


def _early(
    choice: Choice,
    early: Early,
    request: Request,
    body: Body,
    prompt: Prompt,
    now: int,
    dice: float,
) -> Reply:
    """A plugin answered in the model's place."""
    decision = choice.match.decision.name if choice.match else ""
    said = report.early(early.path, choice.recipe.name, decision, choice.algorithm)
    record = _record(choice, body, prompt, model="", path=early.path)
    if early.path == "cache" and early.completion is not None:
        record = msgspec.structs.replace(
            record,
            saved=tokens_told(early.completion.get("usage")),
            saved_model=choice.option.served.target.name,
        )
    if request.headers.get(DEBUG) == "true":
        said = (*said, *report.debug(record))
    said = (*said, *early.report, *protocols.request_id(body.protocol, request))
    if early.completion is not None:
        words: bytes | None = body.told(early.completion)
    else:
        words = None if early.refuse else body.canned(early.message, now, int(dice * 2**53))
    if words is None:
        kind = "server_error" if early.status >= 500 else "invalid_request_error"
        error = RequestError(early.message, status=early.status, kind=kind, code=early.code)
        return msgspec.structs.replace(refuse(error, request=request), report=said, record=record)
    content_type = STREAM if body.stream else JSON
    return Reply(status=200, body=words, content_type=content_type, report=said, record=record)


def _record(choice: Choice, body: Body, prompt: Prompt, model: str, path: str) -> Record:
    match = choice.match
    return Record(
        requested=body.model,
        model=model,
        recipe=choice.recipe.name,
        decision=match.decision.name if match else "",
        confidence=match.confidence if match else 0.0,
        algorithm=choice.algorithm,
        reasoning=choice.option.candidate.reasoning,
        category=_category(choice.verdicts),
        system_prompt=match is not None and "system_prompt" in match.decision.settings.plugins,
        tokens=prompt.tokens,
        stream=body.stream,
        path=path,
        why=choice.why,
        candidate=choice.option.candidate.name,
        session=choice.settled.phase if choice.settled else "",
        owner=owner(prompt) if choice.recipe.judged else "",
        calls=choice.calls,
        verdicts=choice.verdicts,
    )


def _send(
    choice: Choice,
    draft: Draft,
    request: Request,
    body: Body,
    prompt: Prompt,
    *,
    stands_in: bool = False,
) -> Forward:
    """The request as it goes to the model; ``stands_in`` for the one that was chosen."""
    option, served = choice.option, choice.option.served
    instead = None
    fallbacks = rights.standing_in(option.fallbacks, request.caller)
    if fallbacks is not None:
        restored = again(draft)
        instead = Instead(
            fallbacks,
            lambda other: _send(
                msgspec.structs.replace(choice, option=other),
                restored(),
                request,
                body,
                prompt,
                stands_in=True,
            ),
        )
    reasoning = option.candidate.reasoning
    if reasoning is not None and option.family is not None:
        set_reasoning(
            draft.edit,
            option.family,
            on=reasoning,
            effort=option.effort,
            effort_at_top_level=option.effort_at_top_level,
        )
    watched = bool(draft.filters or draft.witnesses)
    edit = draft.edit if draft.edited else None
    sent = depart(body, request, served.target, served.upstream_name, edit, watched=watched)
    record = _record(choice, body, prompt, model=served.target.name, path="upstream")
    if draft.cache:
        record = msgspec.structs.replace(record, cache=draft.cache)
    said = (*option.report, ("x-vsr-selected-confidence", f"{record.confidence:.4f}"))
    if request.headers.get(DEBUG) == "true":
        said = (*said, *report.debug(record))
    if draft.report:
        said = (*said, *draft.report)
    if choice.recipe.judged:
        said = judging.with_replay_id(said, request.headers)
    headers, removed = served.set_headers(request.headers), served.remove
    tap = None
    if watched or sent.upstream is not None or sent.client is not None:
        tap = ReplyTap(
            draft.filters,
            draft.witnesses,
            sent.upstream,
            sent.client,
            stands_in=served.target.name if stands_in else "",
        )
        draft.set["accept-encoding"] = "identity"  # what is compressed cannot be watched
    if draft.set:
        headers = (*headers, *draft.set.items())
    if sent.translated:
        headers, removed, said = _translated(headers, removed, said, sent)
    forward = Forward(
        target=served.target,
        path=sent.path,
        tap=tap,
        trim=sent.trim,
        body=sent.body,
        changed=sent.body is not request.body,
        set_headers=headers,
        remove_headers=(*removed, *draft.removed) if draft.removed else removed,
        report=said,
        record=record,
        urgency=choice.match.decision.settings.urgency if choice.match else 0,
    )
    return forward if instead is None else instead.of(forward)


def read_signals(
    signals: Mapping[str, tuple[Signal, tuple[str, ...]]], prompt: Prompt
) -> Flow[dict[SignalRef, Verdict]]:
    """Every kind once. Asks of all kinds travel in one batch; one kind failing fails alone."""
    readings: dict[str, Reading | AskFailed] = {}
    asking: dict[str, Flow[Reading]] = {}
    for kind, (signal, _) in signals.items():
        said = signal.read(prompt)
        if isinstance(said, GeneratorType):  # half the price of asking the abstract class
            asking[kind] = said
        else:
            readings[kind] = said  # type: ignore[assignment]
    if asking:
        readings.update(zip(asking, (yield from gather(list(asking.values()))), strict=True))
    verdicts: dict[SignalRef, Verdict] = {}
    for kind, reading in readings.items():
        if isinstance(reading, AskFailed):
            unknown = Verdict(False, 0.0, str(reading), unknown=True)
            reading = dict.fromkeys(signals[kind][1], unknown)
        for name, verdict in reading.items():
            verdicts[SignalRef(kind, name)] = verdict
    return verdicts


def _category(verdicts: Mapping[SignalRef, Verdict]) -> str:
    """The domain the classifier saw: the signal's ``because`` reads ``computer science 0.91``,
    or ``unsure: math 0.31`` where ``other`` stands for it."""
    for ref, verdict in verdicts.items():
        if ref.kind == "domain" and verdict.matched:
            label = verdict.because.rpartition(" ")[0]
            return "other" if label.startswith("unsure: ") else label
    return ""


def served(
    target: Target,
    requested: str,
    upstream_name: str,
    extra_headers: HeaderPairs = (),
    removed: tuple[str, ...] = (),
) -> Served:
    """Everything about sending to ``target`` that is known before a request."""
    kept = [target.credential.header] if target.credential else []
    if target.user_key is not None:
        kept.append(target.user_key.header)
    if target.keeps_authorization:
        kept += ("authorization", "x-api-key") if target.protocol == "anthropic" else _BEARER
    name = report.header_text(target.name)
    return Served(
        target=target,
        upstream_name=upstream_name,
        headers=((SELECTED_MODEL, name), *extra_headers),
        remove=(*(h for h in CREDENTIALS if h not in kept), *removed),
        report=(*report.UPSTREAM, ("x-vsr-selected-model", name)),
        record=Record(requested=requested, model=target.name),
    )


def refuse(
    error: RequestError, record: Record | None = None, request: Request | None = None
) -> Reply:
    """An error as the clients of the API that was asked expect it."""
    body, headers = protocols.told(error, request)
    return Reply(
        status=error.status,
        body=body,
        report=(*report.ERROR, *error.headers, *headers),
        record=record or error.record or Record(path="error", reason=error.code or error.kind),
    )


_BEARER = ("authorization",)
NO_MODEL = Candidate("")
"""Stands for the model of a decision that needs none: a plugin of its answers."""
NOWHERE = served(Target(name="", upstream_name=""), "", "")


AWAY_S = 10
"""When clients are told to ask again for a model that is away."""


def unknown_model(name: str, gone: frozenset[str] = frozenset()) -> RequestError:
    """OpenAI's 404; 503 for a model that was there and is likely to come back."""
    if name in gone:
        return RequestError(
            f"The model `{name[:256]}` is temporarily unavailable. Please try again later.",
            status=503,
            kind="server_error",
            code="model_unavailable",
            param="model",
            headers=(("retry-after", str(AWAY_S)),),
        )
    return RequestError(
        f"The model `{name[:256]}` does not exist or you do not have access to it.",
        status=404,
        code="model_not_found",
        param="model",
    )


def named(policy: Policy, model: str, caller: Caller | None) -> Served:
    """Where a model is that a client named. Raises :class:`RequestError`: 404 where there is none,
    403 where it is not for ``caller``."""
    served = policy.concrete.get(model)
    if served is None:
        raise unknown_model(model, policy.gone)
    if caller is not None and not caller.may(served.target.name):
        raise rights.not_allowed(model, caller)
    return served


def _count(policy: Policy, request: Request, path: str) -> Outcome:
    """Tokens of a request of Anthropic's API. Asked of the model's servers where they count and
    the client named the model; a request that guards would have to judge is not sent."""
    if request.method != "POST":
        raise _wrong_method(request.method, path, "POST")
    body = parsed(messages.MessagesBody, request)
    check_once(request.body)
    assert isinstance(body, messages.MessagesBody)
    served = None
    if body.model not in policy.virtual:
        served = named(policy, body.model, request.caller)
    if served is None or served.target.protocol != "anthropic" or policy.guard is not None:
        return messages.counted(body)
    counting = _pass_through(served, request, body)
    free = msgspec.structs.replace(counting.record, billed=False)
    return msgspec.structs.replace(counting, record=free)


def _other_path(
    policy: Policy, request: Request, path: str, dice: float
) -> Outcome | Flow[Outcome]:
    if path == messages.COUNT_PATH:
        return _count(policy, request, path)
    if path.startswith(RESPONSES_PATH + "/"):
        return responses.lookup(policy.responses, request, path)
    if path == MODELS_PATH or path.startswith(MODELS_PATH + "/"):
        return _models(rights.listing(policy, request.caller), request, path)
    if policy.places and request.caller is not None:
        there = named_by_path.read(policy.places, path)
        if there is not None:
            return _named_by_path(policy, request, there, dice)
    raise RequestError(
        f"Unknown request URL: {request.method[:16]} {path[:256]}. "
        f"This router serves {', '.join([*BODIES, MODELS_PATH])}.",
        status=404,
        code="unknown_url",
    )


def _models(listing: Mapping[str, bytes], request: Request, path: str) -> Reply:
    """``GET /v1/models``, and one of them."""
    if request.method not in ("GET", "HEAD"):
        raise _wrong_method(request.method, path, "GET, HEAD")
    name = unquote(path[len(MODELS_PATH) + 1 :])  # clients write org%2Fmodel as well
    if messages.asks_as_anthropic(request):
        found = messages.listed(listing, request, name)
        if found is None:
            raise unknown_model(name)
        body = found
    elif not name:
        items = b",".join(listing.values())
        body = b'{"object":"list","data":[' + items + b"]}"
    elif name in listing:
        body = listing[name]
    else:
        raise unknown_model(name)
    return Reply(status=200, body=body, report=report.LOCAL, record=Record(path="models"))


def _named_by_path(
    policy: Policy, request: Request, there: named_by_path.Named, dice: float
) -> Outcome | Flow[Outcome]:
    """``/<model>/v1/...``: the same as ``/v1/...`` with the model in the body."""
    if there.path == MODELS_PATH:
        named(policy, there.model, request.caller)
        one = {name: item for name, item in policy.listing.items() if name == there.model}
        return _models(one, request, there.path)

    def model_of(name: str) -> str | None:
        served = policy.concrete.get(name)
        return None if served is None else served.target.name

    inner = named_by_path.rewritten(request, there, model_of)
    return answer(policy, inner, dice, request.body)


def _wrong_method(method: str, path: str, wanted: str) -> RequestError:
    return RequestError(
        f"{path[:256]} takes {wanted}, not {method[:16]}.",
        status=405,
        code="method_not_allowed",
        headers=(("allow", wanted),),
    )


def _undecidable(
    recipe: str, decision: Decision, verdicts: Mapping[SignalRef, Any]
) -> RequestError:
    """A 503 that names the signals; why they gave no answer is for the log, not for the client."""
    why = [str(ref) for ref in decision.refs if ref in verdicts and verdicts[ref].unknown]
    error = RequestError(
        f"Decision {decision.name!r} could not be evaluated: no answer from {', '.join(why)}.",
        status=503,
        kind="server_error",
        code="signal_unavailable",
    )
    error.record = Record(
        path="error",
        reason="signal_unavailable",
        recipe=recipe,
        decision=decision.name,
        verdicts=verdicts,
    )
    return error
