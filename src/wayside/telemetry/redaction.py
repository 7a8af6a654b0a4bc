"""The one place where secrets are taken out of what people get to read.

Everything that is written for people goes through here: each line of the log, the messages of the
management API, and what traces say. Two nets, of which either is enough:

* **known** secrets: every key that the process has read for its own use (:func:`learn`), whatever
  it looks like, also escaped or percent-encoded;
* **shapes**: what looks like a key, a token, a password in an address, or follows a word such as
  ``authorization:``.

It errs on the side of taking out too much. What is left of a secret is ``***``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final

import re2

GONE: Final = "***"
MAX_TEXT: Final = 32 << 10
"""Characters of one text; the rest of a longer one is left out, and said to be."""
MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 1_000
"""Of one list or mapping."""
MAX_MESSAGE: Final = 500
"""Characters of a message to a client of an API."""
_SHORTEST: Final = 8
"""A key of fewer characters would be found in texts that have nothing to do with it."""
_SHORT: Final = 3

_BEGINS: Final = (
    # What providers' keys begin with: OpenAI, Anthropic, Stripe, Hugging Face, GitHub, GitLab,
    # Slack, npm, PyPI, Groq, xAI, Replicate, NVIDIA, Databricks, Vault, DigitalOcean, SendGrid.
    r"(?:sk|pk|rk|sa|whsec|hf|gh[pousr]|github_pat|glpat|glrt|xox[a-z]|xapp|npm|pypi|gsk|xai|r8"
    r"|nvapi|dapi|hvs|hvb|dop_v1|SG|pplx|tgp_v1|lsv2_[a-z]{2}|shpat|ATATT)[-_.][\w.+/=~-]{8,}"
)
_KEY: Final = (
    rf"{_BEGINS}"
    r"|(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{12,}"  # AWS
    r"|AIza[\w-]{20,}|ya29\.[\w.-]{8,}|GOCSPX-[\w-]{8,}"  # Google
    r"|eyJ[\w-]{6,}(?:\.[\w+/=-]*){0,4}"  # JSON Web Tokens
)
_TO_VALUE: Final = (
    r"[\\\"']{0,4}\s{0,4}(?:=>|[=:])\s{0,4}[b\\\"'\[(]{0,5}"
    r"(?:(?i:bearer|basic|digest|token)[ \t]+)?"
)
"""Between a name and its value: ``": "``, ``=``, ``': [b'``."""
_IS: Final = r"[\\\"']{0,4}=[\\\"']{0,4}"
_SECRET: Final = re.compile(
    # A private key, to its end where that is here.
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?:(?!-----END)[\s\S]){0,16384}(?:-----END[A-Z -]{0,60})?"
    # An address with a password, or a user who is one.
    r"|(?<=://)[^\s/@\"'<>]{1,512}@"
    rf"|(?<![A-Za-z0-9])(?:{_KEY})"
    # Authorization, and headers and fields whose value is a secret, however they are quoted.
    r"|(?i:(?<![a-z])(?:bearer|basic|digest|negotiate|apikey|token))[ \t]+[\w.~+/=:-]{8,}"
    r"|(?i:(?<![a-z])(?:authorization|api[-_ ]?key|set-cookie|cookie|passw(?:or)?d|passwd"
    r"|passphrase|x-user-[a-z-]{1,24}-key))"
    rf"{_TO_VALUE}(?!\*\*\*)[^\s\\\"',;&(){{}}\[\]]{{4,}}"
    # These words are also of prose, so what follows a colon has to look like a secret.
    r"|(?i:(?:access[-_]?key|secret|token|private[-_]key|credential|signature|(?<![a-z])sig|key))"
    rf"(?:{_IS}|{_TO_VALUE}(?=[^\s\\\"',;&(){{}}\[\]]*[0-9]))"
    r"(?!\*\*\*)[^\s\\\"',;&(){}\[\]]{8,}",
    re.ASCII,
)
_MAY_HOLD: Final = re2.compile(
    rf"(?i){_BEGINS}|AKIA|ASIA|AROA|AIDA|AIza|ya29\.|GOCSPX-|eyJ[\w-]|-----BEGIN|://[^\s/]*@"
    r"|(?:bearer|basic|digest|negotiate|apikey|token)[ \t]"
    r"|(?:authorization|key|cookie|passwd|password|pasword|passphrase|secret|token|credential"
    r"|signature|sig)[\\\"']{0,4}\s{0,4}[=:]"
)
"""What every text with a secret's shape has in it; it is looked for in one pass."""
_NAME: Final = re.compile(
    r"(?i)(?:^|[-_.])(?:authorization|proxy-authorization|api[-_]?key|apikey|passw(?:or)?d"
    r"|passphrase|secret|token|cookie|set-cookie|credential|credentials|private[-_]?key|bearer)$"
)
"""Fields whose value is a secret whatever it looks like."""
_ESCAPE: Final = re.compile(
    r"\\+u\{?([0-9A-Fa-f]{4})\}?|\\+x([0-9A-Fa-f]{2})|%([0-9A-Fa-f]{2})|&#x([0-9A-Fa-f]{2,4});"
)
_UNSEEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\u200b-\u200f\u2060\ufeff]")
"""Characters that are not seen, and so could stand inside a key without anybody noticing."""
_ESCAPING: Final = re.compile(r"[\\%&]|[^\x20-\x7e\n\t]")

_known: tuple[str, ...] = ()


def learn(secret: str) -> None:
    """Never show ``secret`` again. One of fewer than eight characters is left to the shapes."""
    global _known  # noqa: PLW0603 - one process, one log; the set only grows
    if len(secret) >= _SHORTEST and secret not in _known:
        _known = tuple(sorted((*_known, secret), key=len, reverse=True))
        _short.cache_clear()


def redacted(text: str) -> str:
    """``text`` without secrets. Costs a microsecond or two for a short one, time in proportion to
    its length for any."""
    return _short(text) if len(text) <= 64 else _redacted(text)


def fields(given: Mapping[str, Any], trusted: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a line without secrets, however deep. Those that are ``trusted``, made by us
    of names in the configuration and of numbers, are taken as they are."""
    return {
        name: value
        if name in trusted or value.__class__ in _PLAIN
        else _value(str(name), value, 0)
        for name, value in given.items()
    }


def scrubbed(message: str, *texts: str) -> str:
    """``message`` for the client of an API: on one line, of bounded length, without secrets, and
    without any of ``texts`` (but for those so short that they would be found in any message)."""
    for text in texts:
        if len(text.strip()) > _SHORT:
            message = message.replace(text, "…")
    plain = " ".join(redacted(message[: 4 * MAX_MESSAGE]).split())
    plain = plain.encode("utf-8", "replace").decode()
    return plain if len(plain) <= MAX_MESSAGE else plain[: MAX_MESSAGE - 1] + "…"


_PLAIN: Final = frozenset({int, float, bool, type(None)})


def _value(name: str, value: Any, depth: int) -> Any:
    if value.__class__ in _PLAIN:
        return value
    if _NAME.search(name):
        return GONE if value else value
    if isinstance(value, str):
        return redacted(value)
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        found = {}
        for i, (key, inner) in enumerate(value.items()):
            if i >= MAX_ITEMS:
                break
            found[redacted(str(key))] = _value(str(key), inner, depth + 1)
        return found
    if isinstance(value, list | tuple | set | frozenset):
        return [
            _value(name, inner, depth + 1)
            for _, inner in zip(range(MAX_ITEMS), value, strict=False)
        ]
    if isinstance(value, bytes | bytearray):
        return redacted(bytes(value[:MAX_TEXT]).decode("utf-8", "replace"))
    return redacted(str(value))


def _redacted(text: str) -> str:
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "…"
    for secret in _known:
        if secret in text:
            text = text.replace(secret, GONE)
    if _ESCAPING.search(text) is not None:
        plain = _unescaped(text)
        if plain != text and _holds(plain):
            text = plain
            for secret in _known:
                text = text.replace(secret, GONE)
    return _SECRET.sub(_instead, text) if _may_hold(text) else text


_short = lru_cache(4096)(_redacted)


def _instead(found: re.Match[str]) -> str:
    """What is said in a secret's place: the word before it stays, so that one sees what it was."""
    text = found[0]
    if text.endswith("@"):
        return GONE + "@"
    for at, character in enumerate(text):
        if character in "=: \t":
            word = text[:at].lower()
            return f"{text[:at]}{character}{GONE}" if _WORD.fullmatch(word) else GONE
    return GONE


_WORD: Final = re.compile(r"[a-z_\\\"' -]{3,40}")


def _holds(text: str) -> bool:
    return _may_hold(text) or any([secret in text for secret in _known])


def _may_hold(text: str) -> bool:
    try:
        return _MAY_HOLD.search(text) is not None
    except UnicodeEncodeError:  # half a surrogate pair
        return True


def _unescaped(text: str) -> str:
    """As it would read once nothing in it was escaped, however often it was."""
    for _ in range(4):
        before = text
        text = _UNSEEN.sub("", _ESCAPE.sub(_character, text))
        if text == before:
            break
    return text


def _character(found: re.Match[str]) -> str:
    code = next(group for group in found.groups() if group)
    return chr(int(code, 16))
