"""Answer from what a model said before, to the same request or to one that means the same.

What is looked at is a *partition*: the answers that were given to the same people, by the same
model, under the same decision, settings, system prompt, conversation and parameters. Inside it an
answer is found by the whole request (*exact*) or by what the last question means (*near*); a near
one is used only when :mod:`wayside.vocab.near_miss` finds no difference that matters.

The plugin runs after all others of its decision, wherever it is written, so that no answer goes
past a guard of requests. It keeps what the client was sent, so after every guard of answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote

import msgspec
from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from wayside.catalog import catalog
from wayside.dialects import UNREADABLE, Edit, fields_of
from wayside.dialects.fingerprint import Fingerprint, digest, fingerprint, told_twice
from wayside.dialects.keeping import kept
from wayside.dialects.whole import shaped
from wayside.plugins import Answer, Draft
from wayside.settings import EngineName, EngineOf, Settings, StoreName, StoreOf
from wayside.vocab.ask import Embed, Flow, Now, Vector, ask
from wayside.vocab.cache_control import Controls, Directive, read_controls
from wayside.vocab.errors import Abandoned, AskFailed, RequestError
from wayside.vocab.headers import CACHE_CONTROL, CREDENTIALS, DEBUG, header_name
from wayside.vocab.near_miss import differs, form, unfit
from wayside.vocab.prompt import Prompt
from wayside.vocab.sharing import Scope, sharers
from wayside.vocab.stores import Hit, Recall, Release, Remember

HEADER = "x-wayside-cache"
"""Says on every response of a decision with this plugin what the cache did, and why."""
VERSION = "2"
"""Of the digests; a release that makes others never finds entries that mean something else."""
_SHAPING = ("anthropic-", "openai-")
"""Beginnings of the headers by which clients choose an API's version or features."""
_FETCHED = 8
"""Near answers that are compared, best first."""


class ControlRule(Settings):
    """Example: ``{allowed: [no-cache, no-store]}``"""

    enabled: bool = True
    """Whether clients may say anything at all about the cache."""
    header: str = CACHE_CONTROL
    """Where they say it, beside ``cache-control``; it does not go upstream."""
    allowed: tuple[Directive, ...] = ("no-cache", "no-store", "bypass", "max-age", "ttl")
    """What they may say; anything else is not followed, and the answer says so."""
    max_ttl_s: PositiveFloat = 86_400
    """The longest time to keep an answer that ``ttl`` can ask for."""

    @field_validator("header")
    @classmethod
    def _free(cls, value: str) -> str:
        name = value.lower()
        if name in (*CREDENTIALS, "cache-control"):
            raise ValueError(f"{name} means something else; give another header")
        return name if name == CACHE_CONTROL else header_name(value)

    def read(self, prompt: Prompt) -> Controls:
        """What the client said, as far as it may."""
        if not self.enabled:
            return Controls()
        own, standard = (prompt.headers.get(name, "") for name in (self.header, "cache-control"))
        return read_controls(own, standard, self.allowed, self.max_ttl_s)


class ResponseCacheRule(Settings):
    """Example: ``{mode: exact_then_semantic, threshold: 0.9, ttl_s: 3600, scope: user}``"""

    mode: Literal["exact", "semantic", "exact_then_semantic"] = "exact"
    """Answer the same request alone; or also one that means the same, embedding the question at
    once (``semantic``) or only when the same request is not there."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.9
    """The least cosine of two questions that may share an answer."""
    ttl_s: PositiveFloat = 3_600
    """How long an answer is kept."""
    store: Annotated[StoreName, StoreOf("cache")] = "memory"
    """Where answers are kept: ``memory``, or a store of the section ``stores``."""
    scope: Scope = "user"
    """Who shares answers. Where the request does not say its team or tenant, they are shared with
    fewer people, never with more."""
    anonymous: Literal["off", "shared"] = "off"
    """Requests that show neither who asks nor a key: not cached, or cached for all such requests
    together."""
    namespace: Annotated[str, Field(max_length=100)] = ""
    """Keeps answers apart from those of other decisions with the same name and settings."""
    revision: Annotated[str, Field(max_length=256)] = ""
    """Change it, and every answer kept so far is forgotten: a new model behind the same name."""
    engine: Annotated[EngineName, EngineOf("embed")] = "embedding"
    """The embedder that compares questions."""
    semantic_for: tuple[Literal["tools", "code", "numbers"], ...] = ()
    """Requests that are otherwise answered only by the same request: those that offer tools, and
    questions full of code or of numbers."""
    personalized: Literal["off", "exact"] = "off"
    """Requests that other plugins made personal (memory, retrieval, masked personal data): not
    cached, or only for the same request."""
    tool_calls: bool = False
    """Whether answers that call tools are kept."""
    max_temperature: Annotated[float, Field(ge=0)] = 1.0
    """Who asks for a higher temperature wants another answer each time, so nothing is cached."""
    max_bytes: PositiveInt = 1 << 20
    """The largest request, and the largest answer, that the cache takes."""
    wait_s: Annotated[float, Field(ge=0, le=60)] = 2.0
    """How long to wait for the answer to the same request that is under way already."""
    controls: ControlRule = ControlRule()
    """What clients may say about the cache."""

    @model_validator(mode="after")
    def _means_something(self) -> ResponseCacheRule:
        near = {"threshold", "engine", "semantic_for"} & self.model_fields_set
        if self.mode == "exact" and near:
            names = ", ".join(sorted(near))
            raise ValueError(f"{names} are for mode semantic or exact_then_semantic")
        return self


class _Place(NamedTuple):
    """Where a request's answer is looked for and kept."""

    partition: str
    key: str
    question: str
    """What a near question may stand for; then the partition is apart for all the rest."""
    shared: str
    """With whom."""


class _Found(NamedTuple):
    """An answer that serves: what was kept, and the entry it was in."""

    completion: dict[str, Any]
    hit: Hit


@catalog.register(
    "plugin",
    "response_cache",
    settings=ResponseCacheRule,
    stability="beta",
    aliases=("semantic_cache", "semantic-cache"),
)
class ResponseCachePlugin:
    """Answers requests from earlier answers to the same, or nearly the same, question."""

    last = True

    def __init__(self, rule: ResponseCacheRule) -> None:
        self._rule = self.rule = rule
        self._count = count()

    def before(self, prompt: Prompt, draft: Draft) -> Flow[None]:
        controls = self._rule.controls.read(prompt)
        if self._rule.controls.header != CACHE_CONTROL:
            draft.removed.append(self._rule.controls.header)
        notes = dict.fromkeys(f"ignored={name}" for name in controls.ignored)
        if not (controls.read or controls.write):
            return _tell(draft, "off", "the client says so", *notes)
        place = self._place(prompt, draft)
        if isinstance(place, str):
            return _tell(draft, "off", place, *notes)
        keeper = _Keeper(self._rule, place, controls)
        found = None
        if controls.read:
            try:
                found = yield from self._find(place, controls, keeper, notes)
            except Abandoned:
                yield from keeper.let_go()
                raise
            except AskFailed:
                return _tell(draft, "off", "the store gave no answer", *notes)
        if found is not None:
            yield from keeper.let_go()
            now = yield from ask(Now())
            self._answer(draft, found, place, now, debug=prompt.headers.get(DEBUG) == "true")
            return
        draft.witnesses.append(keeper)
        _tell(draft, "miss", f"scope={place.shared}", *notes)

    # where

    def _place(self, prompt: Prompt, draft: Draft) -> _Place | str:
        """Where to look, or why nowhere."""
        rule, sent = self._rule, draft.body
        who = sharers(prompt, rule.scope)
        if who is None and rule.anonymous == "off":
            return "nobody knows who asks"
        if draft.personal and rule.personalized == "off":
            return "the request is personal"
        if sum(map(len, sent.fields.values())) > rule.max_bytes:
            return "the request is too large"
        if (_number(sent, "temperature") or 0) > rule.max_temperature:
            return "the temperature is high"
        if sent.fields.keys() & {"audio"}:
            return "the answer is to be spoken"
        asked = edited = fingerprint(sent.fields)
        if draft.edited:
            asked = fingerprint(draft.original.fields)
        if asked is None or edited is None:
            return "the request cannot be read"
        own = _own(draft, asked)
        if own is None:
            return "the request can be read in two ways"
        kind, names = who or ("anonymous", ())
        claimed = asked.who if kind in ("user", "key") else ""
        route = draft.route
        apart = (VERSION, kind, names, claimed, rule.namespace, rule.revision, route,
                 _shaping(prompt), sorted(draft.set.items()), sorted(draft.removed))  # fmt: skip
        question = self._near_question(prompt, draft, sent, asked, edited)
        question = question if own.last == asked.last else ""
        rest = (asked.around, edited.around, own.around) if question else ()
        shown = (rule.namespace or "-", route.recipe, route.decision, route.model)
        return _Place(
            "/".join([*(quote(name, safe="") for name in shown), digest((*apart, *rest))]),
            digest((*apart, asked.exact, edited.exact, own.exact)),
            question,
            kind,
        )

    def _near_question(
        self, prompt: Prompt, draft: Draft, sent: Edit, asked: Fingerprint, edited: Fingerprint
    ) -> str:
        """The question that a near one may stand for, or ``""``."""
        rule, question = self._rule, asked.last
        if rule.mode == "exact" or draft.personal or not question or question != edited.last:
            return ""
        if (_number(sent, "n") or 1) > 1:
            return ""  # several answers are wanted because they differ
        offered = sent.get("tools") or sent.get("functions")
        worked = any(m.tool_calls or m.role in ("tool", "function") for m in prompt.messages)
        if (offered or worked) and "tools" not in rule.semantic_for:
            return ""
        why = unfit(question)
        return "" if why and why not in rule.semantic_for else question

    # reading

    def _find(
        self, place: _Place, controls: Controls, keeper: _Keeper, notes: dict[str, None]
    ) -> Flow[_Found | None]:
        """An answer that serves. ``notes`` takes why others do not."""
        rule, near = self._rule, bool(place.question)
        if near and rule.mode == "semantic":
            keeper.vector = yield from _embedded(place.question, rule.engine)
        at = (rule.store, place.partition)
        first = Recall(*at, place.key, keeper.vector, rule.threshold, _FETCHED, rule.wait_s)
        found = yield from ask(first)
        keeper.leads, hits = found.leads, found.hits
        if near and rule.mode == "exact_then_semantic" and not any(hit.exact for hit in hits):
            keeper.vector = yield from _embedded(place.question, rule.engine)
            if keeper.vector is not None:
                by_meaning = Recall(*at, "", keeper.vector, rule.threshold, _FETCHED)
                with suppress(AskFailed):
                    hits = (yield from ask(by_meaning)).hits
        since = 0.0
        if controls.max_age_s is not None:
            since = (yield from ask(Now())) - controls.max_age_s
        return self._serving(place.question, hits, since, notes)

    def _serving(
        self, question: str, hits: Sequence[Hit], since: float, notes: dict[str, None]
    ) -> _Found | None:
        """The first of ``hits`` that is an answer to ``question``."""
        for hit in hits:
            if hit.kept_at < since:
                notes["too old"] = None
            elif not hit.exact and hit.similarity < self._rule.threshold:
                notes["not near enough"] = None
            elif not hit.exact and (why := differs(question, hit.question)):
                notes[f"near miss: {why}"] = None
            elif (completion := _completion(hit.body)) is None:
                notes["unreadable entry"] = None
            else:
                return _Found(completion, hit)
        return None

    def _answer(
        self, draft: Draft, found: _Found, place: _Place, now: float, *, debug: bool
    ) -> None:
        """Answer with what was kept, under an id of its own."""
        completion, hit = found
        kind = "cmpl" if completion.get("object") == "text_completion" else "chatcmpl"
        number = f"{int(now * 1e3):x}{next(self._count) % 4096:03x}{place.key[:8]}"
        report = [
            ("x-vsr-cache-hit", "true"),
            (HEADER, f"{'hit' if hit.exact else 'near'}; scope={place.shared}"),
            ("age", str(max(0, int(now - hit.kept_at)))),
        ]
        if debug:
            report.append(("x-vsr-cache-similarity", f"{hit.similarity:.4f}"))
        told = {**completion, "id": f"{kind}-cache-{number}", "created": int(now)}
        draft.answer(told, path="cache", report=tuple(report))


class _Keeper:
    """Keeps the answer when it has ended, or lets those who wait for it go.

    A store that does not answer reports that itself; here it is only an answer not kept.
    """

    def __init__(self, rule: ResponseCacheRule, place: _Place, controls: Controls) -> None:
        self._rule, self._place = rule, place
        self._keeps = controls.write
        self._ttl_s = rule.ttl_s if controls.ttl_s is None else controls.ttl_s
        self.vector: Vector | None = None
        self.leads = False

    def ended(self, answer: Answer) -> Flow[None]:
        rule, place = self._rule, self._place
        body = kept(answer, tool_calls=rule.tool_calls) if self._keeps else None
        if body is None or len(body) > rule.max_bytes:
            return (yield from self.let_go())
        vector = self.vector
        if vector is None and place.question:
            vector = yield from _embedded(place.question, rule.engine)
        at = (rule.store, place.partition, place.key)
        with suppress(AskFailed):
            yield from ask(Remember(*at, body, self._ttl_s, place.question, vector))

    def let_go(self) -> Flow[None]:
        """Nobody is to wait for this request's answer."""
        if self.leads:
            self.leads = False
            place = self._place
            with suppress(AskFailed):
                yield from ask(Release(self._rule.store, place.partition, place.key))


def _own(draft: Draft, asked: Fingerprint) -> Fingerprint | None:
    """The digests of what the client itself sent, where its server may be sent more of it than
    ``asked`` has; ``None`` where that can be read in two ways."""
    if not draft.raw:
        return asked
    try:
        fields = fields_of(draft.raw)
    except RequestError:
        return None
    if told_twice(draft.raw, fields):
        return None
    return fingerprint(fields) if draft.route.as_is else asked


def _embedded(question: str, engine: str) -> Flow[Vector | None]:
    """The vector of a question's form; none where it has no words or the embedder does not
    answer."""
    try:
        (vector,) = yield from ask(Embed((form(question),), engine))
    except AskFailed:
        return None
    return vector if any(vector) else None


def _completion(body: bytes) -> dict[str, Any] | None:
    try:
        said = msgspec.json.decode(body)
    except UNREADABLE:
        return None
    return said if shaped(said) else None


def _shaping(prompt: Prompt) -> list[tuple[str, str]]:
    """The headers that choose an API's version or features."""
    return sorted(pair for pair in prompt.headers.items() if pair[0].startswith(_SHAPING))


def _number(sent: Edit, name: str) -> float | None:
    value = sent.get(name) if name in sent.fields else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _tell(draft: Draft, *what: str) -> None:
    draft.cache = what[0]
    draft.report.append((HEADER, "; ".join(what)))
