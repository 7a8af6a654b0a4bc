"""Owns the policy in force and answers the core's asks. Both shells call ``Runtime.handle``."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import random
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from wayside.dialects import Body, check_encoding
from wayside.flow import Choice, Policy, Recipe, answer, choose, read_signals, refuse
from wayside.flow.protocols import BODIES
from wayside.runtime.compile import compile_policy
from wayside.runtime.costs import MAX_NS, SLOW_NS, Costs, Meter, least, timed
from wayside.runtime.pending import Pending
from wayside.vocab.access import Caller
from wayside.vocab.ask import Ask, Failure, Flow, Now, Unguessable
from wayside.vocab.calls import Complete
from wayside.vocab.errors import Abandoned, RequestError, WaysideError
from wayside.vocab.outcome import Forward, Outcome, Reply, Request
from wayside.vocab.prompt import Prompt

__all__ = ["Answerer", "Runtime", "compile_policy"]

T = TypeVar("T")
MAX_LATER = 10_000
"""Things under way at once that are done after answers."""
_UNBEGUN = inspect.CORO_CREATED
Answerer = Callable[[Any], Any]
"""Answers one ask, at once or with an awaitable. May raise ``OSError`` or ``TimeoutError``."""
Further = Callable[[Request], Outcome | Coroutine[Any, Any, Outcome] | None]
"""Serves paths beside the models'."""
Gate = Callable[[Request], Request | Coroutine[Any, Any, Request]]
"""Lets requests in: says who asks (``Request.caller``), at once or after a while, or raises
:class:`RequestError`. Requests for paths that anybody may ask come back as they are. One that has
a caller is of our own making, such as one of a batch: it was proven before who that is, and the
gate says what they may use by now."""


class Runtime:
    """One policy at a time, no locks: reload swaps a reference, requests keep what they took."""

    def __init__(
        self,
        policy: Policy,
        answerers: Mapping[type[Ask[Any]], Answerer] | None = None,
        dice: Callable[[], float] | None = None,
    ) -> None:
        self.policy = policy
        self._answerers: dict[type[Ask[Any]], Answerer] = {**_OWN, **(answerers or {})}
        self._dice = dice or random.Random().random
        self.wants_reply_body = False
        self.local: dict[str, Callable[[], Reply]] = {}
        """Paths answered here whatever the policy says: ``/health``, ``/ready``."""
        self.further: Further | None = None
        """Asked about every path on which no model is asked, or with a query; ``None`` from it
        means that the path is nothing to it."""
        self.gate: Gate | None = None
        """Asked about every request before anything else is done with it."""
        self._later: set[asyncio.Future[None]] = set()
        self.fault: Callable[[str], None] = lambda why: None
        """Told what went wrong after an answer, for the log."""

    def replace(self, policy: Policy, answerers: Mapping[type[Ask[Any]], Answerer]) -> None:
        """Put another policy in force, with the engines made for it."""
        self._answerers = {**_OWN, **answerers}
        self.policy = policy

    def beside(self, answerers: Mapping[type[Ask[Any]], Answerer]) -> Runtime:
        """Another runtime of the policy in force, to try something out: ``answerers`` take the
        place of ours."""
        return Runtime(self.policy, {**self._answerers, **answerers}, self._dice)

    def handle(self, request: Request) -> Outcome | Awaitable[Outcome]:
        """What to do with a request. At once, unless an engine has to be waited for."""
        try:
            if request.path in self.local:
                return self.local[request.path]()
            if self.gate is not None:
                entered = self.gate(request)
                if not isinstance(entered, Request):
                    return Pending(self._entered(entered, request), entered.close)
                request = entered
        except RequestError as error:
            return refuse(error, request=request)
        return self.routed(request)

    def turned_away(self, request: Request) -> Reply | None:
        """What a request gets that is not let in, whatever its body says, which may not be here
        yet; ``None`` where it has to be read, or somebody asked, before that is known."""
        if self.gate is None or request.path in self.local:
            return None
        try:
            entered = self.gate(request)
        except RequestError as error:
            return refuse(error, request=request)
        if not isinstance(entered, Request):
            entered.close()
        return None

    async def _entered(self, entering: Awaitable[Request], request: Request) -> Outcome:
        try:
            request = await entering
        except RequestError as error:
            return refuse(error, request=request)
        outcome = self.routed(request)
        return outcome if isinstance(outcome, Forward | Reply) else await outcome

    def routed(self, request: Request) -> Outcome | Awaitable[Outcome]:
        """Where a request goes that was let in."""
        try:
            if "content-encoding" in request.headers:
                check_encoding(request.headers)
            if self.further is not None and request.path not in BODIES:
                more = self.further(request)
                if more is not None:
                    return self._finished(more, request)
            found = answer(self.policy, request, self._dice())
            if isinstance(found, Forward | Reply):
                return found
            outcome = self.drive(found)
            if isinstance(outcome, Forward | Reply):
                return self._followed(outcome)
            return Pending(self._finish(outcome, request), outcome.close)
        except RequestError as error:
            return refuse(error, request=request)
        except RecursionError:
            deep = RequestError("The request is nested too deeply.", code="invalid_json")
            return refuse(deep, request=request)

    def _finished(
        self, found: Outcome | Coroutine[Any, Any, Outcome], request: Request
    ) -> Outcome | Awaitable[Outcome]:
        if isinstance(found, Forward | Reply):
            return self._followed(found)
        return Pending(self._finish(found, request), found.close)

    async def _finish(self, outcome: Awaitable[Outcome], request: Request) -> Outcome:
        try:
            return self._followed(await outcome)
        except RequestError as error:
            return refuse(error, request=request)

    def _followed(self, outcome: Outcome) -> Outcome:
        """Begin what is to be done after a reply of our own."""
        if isinstance(outcome, Reply) and outcome.after is not None:
            self.after(outcome.after)
        return outcome

    def after(self, flow: Flow[None] | None) -> None:
        """Run what is to be done when a request is over; nobody waits for it.

        What it raises is logged and costs nobody anything.
        """
        if flow is None:
            return
        try:
            found = self.drive(flow)
        except Exception:  # noqa: BLE001 - the answer is already with the client
            self.fault(traceback.format_exc())
            return
        if not isinstance(found, Pending):
            return
        if len(self._later) >= MAX_LATER:
            found.close()
            self.fault("too much is still to be done after answers: something was left undone")
            return
        task = asyncio.ensure_future(found)
        self._later.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[None]) -> None:
        self._later.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fault("".join(traceback.format_exception(error)))

    async def settled(self, patience_s: float = 5.0) -> None:
        """Wait for what :meth:`after` began."""
        if self._later:
            await asyncio.wait(self._later, timeout=patience_s)

    def drive(self, flow: Flow[T]) -> T | Pending[T]:
        """Run any flow to its end, at once unless an engine has to be waited for."""
        try:
            batch = next(flow)
            while True:
                answers = [self._answer(question) for question in batch]
                if any([hasattr(a, "__await__") for a in answers]):
                    return Pending(self._drive(flow, answers), partial(self._left, flow, answers))
                batch = flow.send(tuple(answers))
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _left(self, flow: Flow[Any], answers: list[Any]) -> None:
        """Nobody waits for ``answers`` any more."""
        for pending in answers:
            if inspect.iscoroutine(pending) and inspect.getcoroutinestate(pending) == _UNBEGUN:
                pending.close()
        self.after(_abandoned(flow))

    async def run(self, flow: Flow[T]) -> T:
        """Drive any flow to its end."""
        try:
            batch = next(flow)
        except StopIteration as stop:
            result: T = stop.value
            return result
        return await self._drive(flow, [self._answer(question) for question in batch])

    async def _drive(self, flow: Flow[T], answers: list[Any]) -> T:
        while True:
            try:
                settled = await _settle_all(answers, self._broke)
            except asyncio.CancelledError:
                self._left(flow, answers)
                raise
            try:
                batch = flow.send(tuple(settled))
            except StopIteration as stop:
                result: T = stop.value
                return result
            answers = [self._answer(question) for question in batch]

    def _answer(self, question: Ask[Any]) -> Any:
        answerer = self._answerers.get(type(question))
        if answerer is None:
            return Failure(f"nothing here answers {type(question).__name__}")
        try:
            return answerer(question)
        except (OSError, TimeoutError, WaysideError) as error:
            return Failure(str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - whoever has a bug, or no memory, is no answer
            return self._broke(error)

    def _broke(self, error: Exception) -> Failure:
        """An engine or a store raised what it should not. The text of its error may quote a
        prompt, so that it is told by its type and its place."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        self.fault(f"instead of an answer: {kind} at {frame.filename}:{frame.lineno}")
        return Failure(f"{kind} where an answer was to be")

    async def explain(
        self, request: Request, *, every_signal: bool = False
    ) -> tuple[Prompt, Choice]:
        """Decide about a request without sending it. Raises :class:`RequestError`.

        ``every_signal`` also reads the rules that no decision refers to.
        """
        prompt, choice, _ = await self.examine(request, every_signal=every_signal)
        return prompt, choice

    async def examine(
        self, request: Request, *, every_signal: bool = False, repeats: int = 1
    ) -> tuple[Prompt, Choice, Costs]:
        """As :meth:`explain`, and what each kind of signal cost: the cheapest of up to
        ``repeats`` readings, as long as those are quick. The first may load models.

        For a caller, whose limits nothing here counts against, no model is asked in order to
        choose one."""
        parse = BODIES.get(request.path.partition("?")[0])
        if parse is None:
            raise RequestError(f"{request.path} is not a path that routes.", status=404)
        body: Body = parse(request.body)
        recipe = self.policy.virtual.get(body.model)
        if recipe is None:
            raise RequestError(
                f"{body.model!r} names a model: it goes straight through, nothing is decided.",
                param="model",
            )
        if body.needs_model:
            raise RequestError(body.needs_model, param="model")
        if every_signal:
            recipe = dataclasses.replace(recipe, signals=recipe.every_signal)
        prompt = recipe.prompt(body, request.headers, request.caller)
        meter = Meter()
        watched = dataclasses.replace(recipe, signals=timed(recipe.signals, meter))
        choosing = choose(watched, prompt, self._dice(), request.caller)
        if request.caller is not None:
            choosing = _unasked(choosing)
        choice = await self._metered(choosing, meter)
        readings, first, spent = [meter.costs()], meter.spent(), 0
        while len(readings) < repeats and first < SLOW_NS and spent < MAX_NS:
            meter = Meter()
            await self._metered(read_signals(timed(recipe.signals, meter), prompt), meter)
            readings.append(meter.costs())
            spent += meter.spent()
        return prompt, msgspec.structs.replace(choice, recipe=recipe), least(readings)

    async def decide(
        self, recipe: Recipe, prompt: Prompt, caller: Caller | None = None, dice: float = 0.5
    ) -> Choice:
        """Decide about a prompt by any recipe, to see where it would go: no model is asked, and
        nothing is remembered. Raises :class:`RequestError`."""
        return await self.run(_unasked(choose(recipe, prompt, dice, caller)))

    async def _metered(self, flow: Flow[T], meter: Meter) -> T:
        """Drive a flow to its end, one question after another, and time the answers."""
        answers: tuple[Any, ...] | None = None
        while True:
            try:
                batch = next(flow) if answers is None else flow.send(answers)
            except StopIteration as stop:
                result: T = stop.value
                return result
            found: list[Any] = []
            for question in batch:
                began = meter.clock()
                said = self._answer(question)
                found.append(
                    await _settle(said, self._broke) if hasattr(said, "__await__") else said
                )
                meter.answered[question] = meter.clock() - began
            answers = tuple(found)


def _unasked(flow: Flow[T]) -> Flow[T]:
    """``flow``, whose questions to models get no answer."""
    try:
        batch = next(flow)
        while True:
            others = iter((yield tuple([q for q in batch if not isinstance(q, Complete)])))
            batch = flow.send(
                tuple([_NOT_ASKED if isinstance(q, Complete) else next(others) for q in batch])
            )
    except StopIteration as stop:
        result: T = stop.value
        return result


_NOT_ASKED = Failure("models are not asked where nothing is charged")


def _now(question: Now) -> float:
    return time.time()


def _unguessable(question: Unguessable) -> str:
    return secrets.token_hex(16)


_OWN: Mapping[type[Ask[Any]], Answerer] = {Now: _now, Unguessable: _unguessable}


Broke = Callable[[Exception], Failure]


async def _settle_all(answers: list[Any], broke: Broke) -> list[Any]:
    """Every answer. A coroutine begins only when it is waited for, so several go side by side."""
    if len(answers) == 1:
        (a,) = answers
        return [await _settle(a, broke) if hasattr(a, "__await__") else a]
    waiting = [a for a in answers if hasattr(a, "__await__")]
    if len(waiting) < 2 or not any([inspect.iscoroutine(a) for a in waiting]):
        return [await _settle(a, broke) if hasattr(a, "__await__") else a for a in answers]
    settled = iter(await asyncio.gather(*[_settle(a, broke) for a in waiting]))
    return [next(settled) if hasattr(a, "__await__") else a for a in answers]


def _abandoned(flow: Flow[Any]) -> Flow[None]:
    """Tell a flow that nobody waits for it, and let it tidy up."""
    try:
        batch = flow.throw(Abandoned("the client is gone"))
        while True:
            batch = flow.send((yield batch))
    except (StopIteration, WaysideError):
        return


async def _settle(pending: Awaitable[Any], broke: Broke) -> Any:
    try:
        return await pending
    except (OSError, TimeoutError, WaysideError) as error:
        return Failure(str(error) or type(error).__name__)
    except Exception as error:  # noqa: BLE001 - whoever has a bug, or no memory, is no answer
        return broke(error)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return Failure("the engine was stopped")  # by its closing, say; nobody cancelled us
