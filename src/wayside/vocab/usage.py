"""Tokens that an answer took: what servers say of it, checked, and in one shape.

A model's server may write anything where its counts should be. What is no count (a negative
number, half a token, text) and what cannot be true (:data:`MAX_TOKENS`) is not believed; what
else it says stands. OpenAI's names, Anthropic's and those of the Responses API are read.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from wayside.vocab.tokens import estimate_tokens

MAX_TOKENS: Final = 20_000_000
"""More than any model reads or writes for one request; a larger count is a mistake or a lie."""

BYTES_PER_TOKEN: Final = 4
"""Of English prose, less than that of the JSON around it: a guess where nothing else is known."""

_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """What an answer took. ``prompt`` is all that was read: ``cached`` (read from the provider's
    cache) and ``written`` (put there) are parts of it. ``completion`` is all that was written:
    ``reasoning`` is a part of it.

    ``estimated`` says why these are not the server's own counts, or is empty where they are.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0
    estimated: str = ""

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def kinds(self) -> tuple[tuple[str, int], ...]:
        """Parts that do not overlap and add up to :attr:`total`, each with its name."""
        return (
            ("prompt", self.prompt - self.cached - self.written),
            ("completion", self.completion - self.reasoning),
            ("cached", self.cached),
            ("cache_write", self.written),
            ("reasoning", self.reasoning),
        )

    def cost(self, prompt: float, completion: float, cached: float, written: float) -> float:
        """At these prices per million; reasoning costs what the rest of an answer does."""
        rest = self.prompt - self.cached - self.written
        paid = rest * prompt + self.cached * cached + self.written * written
        return (paid + self.completion * completion) / 1e6


NOTHING: Final = Tokens()

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]


class _Details(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None


class _Said(msgspec.Struct, gc=False):
    """The counts, in whichever API's names."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    total_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    cache_creation_input_tokens: _Count | None = None
    prompt_cache_hit_tokens: _Count | None = None
    """DeepSeek's name for cached input."""
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Whole(msgspec.Struct, gc=False):
    usage: msgspec.Raw = msgspec.Raw()


_said = msgspec.json.Decoder(_Said)
_whole = msgspec.json.Decoder(_Whole)
_NAMES: Final = frozenset(_Said.__struct_fields__)


def tokens_in(tail: bytes) -> Tokens | None:
    """The last ``"usage": {...}`` in the final bytes of a response, without parsing the rest;
    ``None`` where there is none that says anything.

    Text in an answer cannot pass for it: quotes inside a JSON string are escaped. Counts of a
    stream are cumulative wherever they stand, so the last one is all of it, however often a
    server repeats itself. A stream of the Messages API counts its input in its first event, and
    repeats it in its last only if it likes: ``tail`` begins with that event there.
    """
    found = _last(tail)
    if found is None:
        return None
    first = None
    if found.output_tokens is not None:
        at = tail.find(b'"usage":')
        start = tail.find(b"{", at)
        first = _at(tail, start) if start >= 0 else None
    return _tokens(found, first or found)


def tokens_of(body: bytes) -> Tokens | None:
    """The ``usage`` of a whole answer; ``None`` where it says none that can be believed."""
    try:
        raw = _whole.decode(body).usage
    except _BAD:
        return None
    said = _read(bytes(raw)) if len(raw) else None
    return None if said is None else _tokens(said, said)


def tokens_told(usage: object) -> Tokens | None:
    """The same of a ``usage`` that was decoded before."""
    said = _salvaged(usage)
    return None if said is None else _tokens(said, said)


def taken(body: bytes, request: bytes) -> Tokens:
    """What a whole answer took: as it says, or by its texts and the size of its ``request``."""
    found = tokens_of(body)
    if found is None:
        return estimated(body, prompt_guess(0, len(request)), "missing")
    if found.prompt:
        return found
    return msgspec.structs.replace(found, prompt=prompt_guess(0, len(request)), estimated="zero")


def prompt_guess(counted: int, body_bytes: int) -> int:
    """Tokens of a prompt: as they were estimated to route it, or by the size of the request."""
    return counted or -(-body_bytes // BYTES_PER_TOKEN)


def estimated(body: bytes, prompt: int, why: str) -> Tokens:
    """What a whole answer without counts took, by its texts; ``prompt`` is a guess, too."""
    texts: list[str] = []
    try:
        _gather(msgspec.json.decode(body), texts)
    except _BAD:
        texts = [body.decode("utf-8", "replace")]
    return Tokens(prompt, estimate_tokens(texts), estimated=why)


_TEXTS: Final = frozenset({"content", "text", "reasoning_content", "reasoning", "arguments"})


def _gather(value: Any, texts: list[str], name: str = "") -> None:
    if isinstance(value, str):
        if name in _TEXTS:
            texts.append(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _gather(inner, texts, key)
    elif isinstance(value, list):
        for inner in value:
            _gather(inner, texts, name)


def _tokens(last: _Said, first: _Said) -> Tokens | None:
    """What the end of an answer does not say again stands as its beginning said it."""
    if last.output_tokens is None and last.input_tokens is None:
        return _of_chat(last)

    def count(name: str) -> int:
        said = getattr(last, name)
        return (getattr(first, name) if said is None else said) or 0

    read, completion = count("input_tokens"), count("output_tokens")
    details, thoughts = last.input_tokens_details, last.output_tokens_details
    cached, written = count("cache_read_input_tokens"), count("cache_creation_input_tokens")
    reasoning = min((thoughts and thoughts.reasoning_tokens) or 0, completion)
    if details is not None or last.total_tokens is not None:  # the Responses API: a part of it
        cached = min((details and details.cached_tokens) or 0, read)
        return Tokens(read, completion, cached, reasoning=reasoning)
    return Tokens(read + cached + written, completion, cached, written, reasoning)


def _of_chat(said: _Said) -> Tokens | None:
    if said.prompt_tokens is None and said.completion_tokens is None:
        return None
    prompt, completion = said.prompt_tokens or 0, said.completion_tokens or 0
    details, thoughts = said.prompt_tokens_details, said.completion_tokens_details
    cached = (details and details.cached_tokens) or said.prompt_cache_hit_tokens or 0
    cached = min(cached, prompt)
    written = min(said.cache_creation_input_tokens or 0, prompt - cached)
    reasoning = (thoughts and thoughts.reasoning_tokens) or 0
    beside = (said.total_tokens or 0) - prompt - completion
    if beside > 0 and (reasoning or said.completion_tokens is not None):
        # Gemini and xAI leave what a model thought out of its completion, but not of the total.
        completion, reasoning = completion + beside, max(reasoning, beside)
    return Tokens(prompt, completion, cached, written, min(reasoning, completion))


def _last(tail: bytes) -> _Said | None:
    at = tail.rfind(b'"usage":')
    while at >= 0:
        start = tail.find(b"{", at + 8)
        if start >= 0 and not tail[at + 8 : start].strip():
            return _at(tail, start)
        at = tail.rfind(b'"usage":', 0, at)  # this one was null, as in a chunk of a stream
    return None


def _at(tail: bytes, start: int) -> _Said | None:
    end = start
    for _ in range(6):  # nested *_details objects close before the usage object does
        end = tail.find(b"}", end) + 1
        if not end:
            return None
        try:
            return _said.decode(tail[start:end])
        except msgspec.ValidationError:
            # Its JSON may be whole, or what is wrong may stand before the end that is missing.
            found = _read(tail[start:end])
            if found is not None:
                return found
        except (UnicodeDecodeError, RecursionError):
            return None
        except msgspec.DecodeError:
            continue
    return None


def _read(raw: bytes) -> _Said | None:
    try:
        return _said.decode(raw)
    except msgspec.ValidationError:
        pass
    except _BAD:
        return None
    try:
        return _salvaged(msgspec.json.decode(raw))
    except _BAD:
        return None


def _salvaged(usage: object) -> _Said | None:
    """Those of the counts that are counts."""
    if not isinstance(usage, dict):
        return None
    found = _Said()
    for name in _NAMES.intersection(usage):
        value = usage[name]
        if name.endswith("_details"):
            if isinstance(value, dict):
                inner = {k: _count(value.get(k)) for k in _Details.__struct_fields__}
                setattr(found, name, _Details(**inner))
        else:
            setattr(found, name, _count(value))
    return found


def _count(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_TOKENS:
        return None
    return value
