"""API dialects: bytes to :class:`~wayside.vocab.prompt.Prompt`, and edited bytes back.

One file per dialect. A body is read in one pass that decodes only what routing needs; a body that
is not edited is forwarded as the very bytes that came.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from wayside.dialects.stage import Loss, Stage
from wayside.vocab.errors import RequestError
from wayside.vocab.halves import mended
from wayside.vocab.prompt import Prompt

_envelope = msgspec.json.Decoder(dict[str, msgspec.Raw])
encode = msgspec.json.Encoder().encode
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises: bad JSON or a wrong type, bad UTF-8, nesting without end."""


T = TypeVar("T")
Rewrite = Callable[[str], str]


MAX_VALUES = 65_536
"""Values and keys of one request. What reads them makes objects of them, of which each is many
times as long as its bytes: a body of a million empty messages would fill hundreds of megabytes."""
MAX_TOKEN_IDS = 400_000
"""The same where prompts may be lists of token ids: OpenAI's API takes 300,000 of them."""
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[,\[{]', re.DOTALL)
_CHUNK = 1 << 16
_utf8 = codecs.getincrementaldecoder("utf-8")


def decode(
    decoder: msgspec.json.Decoder[T], raw: bytes, most: int = MAX_VALUES
) -> tuple[T, bytes]:
    """The decoded body, and the bytes to edit.

    JavaScript clients that cut text in the middle of an emoji send half a surrogate pair. JSON
    allows it and no text can hold it, so it is read, and edited, as U+FFFD; a body that is passed
    through keeps it. Raises one of :data:`UNREADABLE`, also for bytes that are no UTF-8 in a field
    that nobody reads here, and :class:`RequestError` for more than ``most`` values.
    """
    check_size(raw, most)
    if not raw.isascii():
        check_utf8(raw)
    try:
        return decoder.decode(raw), raw
    except msgspec.DecodeError:
        whole = mended(raw)
        if whole is raw:
            raise
        return decoder.decode(whole), whole


def check_size(raw: bytes, most: int) -> None:
    """Refuse a body of more than ``most`` values before anything is made of them. Commas and
    brackets outside of strings are counted, which are as many or a few more.

    Raises :class:`RequestError`.
    """
    if len(raw) <= most or len(raw) - len(raw.translate(None, b",[{")) <= most:
        return
    seen = 0
    for found in _STRUCTURE.finditer(raw):
        if raw[found.start()] != _QUOTE:
            seen += 1
            if seen > most:
                raise RequestError(
                    f"The request has more than {most} values; send fewer messages, parts or "
                    "tools.",
                    code="request_too_complex",
                )


_QUOTE = ord('"')


def check_utf8(raw: bytes) -> None:
    """Raises ``UnicodeDecodeError``. A little at a time, since a text may take four times as much
    room as its bytes."""
    reader = _utf8()
    for at in range(0, len(raw), _CHUNK):
        reader.decode(raw[at : at + _CHUNK])
    reader.decode(b"", final=True)


def check_encoding(headers: Mapping[str, str]) -> None:
    """Refuse a body that is compressed, or said to be: nothing is ever unpacked here, so that no
    small body becomes a large one. Raises :class:`RequestError`."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RequestError(
            f"The request says content-encoding {encoding[:64]!r}; send it as plain JSON.",
            status=415,
            code="unsupported_media_type",
        )


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse a body that its server would read otherwise than we did: as UTF-7, say, or as
    compressed. Raises :class:`RequestError`."""
    check_encoding(headers)
    said = headers.get("content-type", "").lower()
    if "charset" in said and not _UTF8.issuperset(_CHARSET.findall(said)):
        raise RequestError(
            "The request's content-type names another charset than utf-8; send it as UTF-8.",
            status=415,
            code="unsupported_media_type",
        )


_CHARSET = re.compile(r'charset[^=]*=\s*"?([^";,\s]*)')
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def check_keys(keys: Iterable[str], known: frozenset[str], inside: str = "") -> None:
    """Refuse ``Messages`` for ``messages``: servers written in Go take the one for the other
    (encoding/json matches names whatever their case), and would read what no signal has.

    Raises :class:`RequestError`.
    """
    if known.issuperset(keys):
        return
    for key in keys:
        if key not in known and key.casefold() in known:
            where = f"{inside}.{key}".strip(".")
            raise RequestError(
                f"Unknown parameter: {where[:256]!r}. Did you mean {key.casefold()!r}?",
                param=where[:256],
                code="unknown_parameter",
            )


@lru_cache(64)
def _quoted(names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple([b'"%b"' % name.encode() for name in names])


_ESCAPED = (b"\\u006", b"\\u007", b"\\u005f", b"\\u005F")


def check_once(raw: bytes, names: tuple[str, ...] = ("model",)) -> None:
    """Refuse a body that has one of these fields twice: one server takes the first, another the
    last, and a guard would have read what the model does not.

    Raises :class:`RequestError`. ``raw`` is an object of JSON.
    """
    for literal in _quoted(names):
        at = raw.find(literal)
        if at >= 0 and raw.rfind(literal) != at:  # each stops where it finds one: half a count
            break
    else:
        # Nobody escapes a small letter, or the line between two words, but to hide a name; most
        # bodies have no backslash at all.
        if b"\\" not in raw or not any([escaped in raw for escaped in _ESCAPED]):
            return

    def twice(pairs: list[tuple[str, Any]]) -> str:
        found = [name for name, _ in pairs]
        return next((name for name in names if found.count(name) > 1), "")

    # The hook is told of inner objects first, so what comes out is of the outermost.
    try:
        name = json.loads(raw, object_pairs_hook=twice, parse_int=str)  # however many digits
    except ValueError as error:  # what is not UTF-8, say
        raise bad_body(error) from None
    if name:
        raise RequestError(
            f"The request body is not valid JSON: it has {name!r} twice.",
            param=name,
            code="invalid_json",
        )


ClientProtocol = Literal["openai", "anthropic", "responses"]
"""The APIs that clients speak."""


class Body(Protocol):
    """One request body, read once.

    Whatever API it came in, ``prompt`` and ``edit`` show a request of OpenAI's (a chat, where
    ``translates``), and ``canned``, ``told`` and ``error`` answer in its own.
    """

    protocol: ClientProtocol
    translates: bool
    """Whether it can be told as a chat, and so in any server's API."""
    model: str
    stream: bool

    def __init__(self, raw: bytes) -> None: ...

    judged: tuple[str, ...]
    """Its fields that say where a request goes and what it says: each is written once."""

    @property
    def needs_model(self) -> str:
        """Why no model can be chosen for it, for the client; ``""`` where one can."""
        ...

    def prompt(self, headers: Mapping[str, str]) -> Prompt:
        """What signals read."""
        ...

    def edit(self) -> Edit:
        """Start changing it."""
        ...

    def canned(self, message: str, created: int, number: int) -> bytes | None:
        """An answer of our own to it, streamed where it asks for a stream; ``None`` where the
        dialect has no words to answer with. ``number`` (below 2**53) makes the id."""
        ...

    def told(self, completion: dict[str, Any]) -> bytes:
        """A completion that we have, as this client asked for it: whole or streamed."""
        ...

    def renamed(self, model: str) -> bytes:
        """Its own bytes, but for the model's name."""
        ...

    def plain(self, edit: Edit) -> tuple[bytes, tuple[Loss, ...]]:
        """``edit`` as a server of OpenAI's API takes it, and what was lost since it came."""
        ...

    def client_stage(self) -> Stage | None:
        """Tells a chat's answer in the client's API; ``None`` where that is OpenAI's."""
        ...

    @staticmethod
    def error(error: RequestError, request_id: str) -> bytes:
        """A whole answer that says ``error``."""
        ...

    @staticmethod
    def broken(error: RequestError, request_id: str) -> bytes:
        """The event that ends a stream which cannot go on."""
        ...


class OpenAIBody:
    """What bodies of OpenAI's API have in common."""

    __slots__ = ()
    protocol: ClientProtocol = "openai"
    translates = False
    _raw: bytes

    def renamed(self, model: str) -> bytes:
        edit = Edit(self._raw)
        edit.set("model", model)
        return edit.encode()

    def plain(self, edit: Edit) -> tuple[bytes, tuple[Loss, ...]]:
        return edit.encode(), ()

    def client_stage(self) -> Stage | None:
        return None

    @staticmethod
    def error(error: RequestError, request_id: str) -> bytes:
        detail = {
            "message": str(error),
            "type": error.kind,
            "param": error.param,
            "code": error.code,
        }
        return encode({"error": detail})

    @staticmethod
    def broken(error: RequestError, request_id: str) -> bytes:
        return b"data: " + OpenAIBody.error(error, request_id) + b"\n\n"


class Edit:
    """A body taken apart at the top level; whatever is not set stays the client's own bytes.

    Order is kept, space between fields is not. Of a field written twice the last stays, which is
    the one that was read: no server behind us sees another ``model`` than the router did.
    """

    __slots__ = ("fields",)
    texts: tuple[str, ...] = ()
    """Top-level fields whose strings, alone or in a list, are what the client says."""

    def __init__(self, raw: bytes) -> None:
        self.fields = fields_of(raw)

    def get(self, name: str) -> Any:
        """The decoded value of a field, or ``None`` where it is absent."""
        raw = self.fields.get(name)
        if raw is None:
            return None
        try:
            return msgspec.json.decode(raw)
        except UNREADABLE as error:
            raise bad_body(error, name) from None

    @property
    def wants_usage(self) -> bool:
        """Whether the client asked for an event of usage at the end of its stream."""
        wanted = self.get("stream_options")
        return isinstance(wanted, dict) and wanted.get("include_usage") is True

    def set(self, name: str, value: Any) -> None:
        self.fields[name] = msgspec.Raw(encode(value))

    def set_inside(self, name: str, key: str, value: Any) -> None:
        """Set ``key`` of the object ``name``; its other keys keep their bytes."""
        raw = self.fields.get(name)
        inner = fields_of(raw, name) if raw is not None and bytes(raw) != b"null" else {}
        inner[key] = msgspec.Raw(encode(value))
        self.set(name, inner)

    def drop(self, name: str) -> None:
        self.fields.pop(name, None)

    def instruct(self, text: str, *, replace: bool) -> bool:
        """Give the model a system prompt; ``False`` where the dialect has no place for one."""
        return False

    def rewrite_texts(self, rewrite: Rewrite) -> bool:
        """Put every text that the client says through ``rewrite``; whether any came out changed.

        What does not change keeps its bytes, so a ``rewrite`` that returns what it was given only
        reads.
        """
        return any([rewrite_strings(self.fields, name, rewrite) for name in self.texts])

    def encode(self) -> bytes:
        return encode(self.fields)


def rewrite_strings(fields: dict[str, msgspec.Raw], name: str, rewrite: Rewrite) -> bool:
    """Rewrite a string, or the strings of a list, among ``fields``; whether one changed."""
    raw = fields.get(name)
    if raw is None:
        return False
    try:
        said = msgspec.json.decode(raw)
    except UNREADABLE as error:
        raise bad_body(error, name) from None
    new: Any = said
    if isinstance(said, str):
        new = rewrite(said)
    elif isinstance(said, list):
        new = [rewrite(item) if isinstance(item, str) else item for item in said]
    if new == said:
        return False
    fields[name] = msgspec.Raw(encode(new))
    return True


def fields_of(raw: bytes, inside: str = "") -> dict[str, msgspec.Raw]:
    """The fields of an object, each with the bytes it came in."""
    try:
        return _envelope.decode(raw)
    except UNREADABLE as error:
        raise bad_body(error, inside) from None


def bad_body(error: Exception, inside: str = "") -> RequestError:
    """A decoding error, told as a client can use it (``$.messages[0].role`` becomes the param).

    ``inside`` is the field that was being decoded on its own.
    """
    text = str(error)
    if isinstance(error, UnicodeDecodeError):
        text = f"it is not UTF-8 ({error.reason})"
    elif isinstance(error, RecursionError):
        text = "it is nested too deeply"
    if not isinstance(error, msgspec.ValidationError):
        return RequestError(f"The request body is not valid JSON: {text}", code="invalid_json")
    what, _, path = text.partition(" - at `")
    where = f"{inside}{path.rstrip('`').removeprefix('$')}".removeprefix(".")
    if "required field" in what:
        field = what.rsplit("`", 2)[-2]
        where = f"{where}.{field}".strip(".")
        return RequestError(f"Missing required parameter: '{where}'.", param=where)
    where = where or "body"
    return RequestError(f"Invalid value for '{where}': {what[:1].lower()}{what[1:]}.", param=where)
