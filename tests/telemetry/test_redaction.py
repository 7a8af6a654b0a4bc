"""No secret gets into a line, whatever its shape, wherever it stands, however it is escaped."""

from __future__ import annotations

import io
import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.telemetry import Log, redaction
from wayside.telemetry.redaction import GONE, fields, learn, redacted, scrubbed

ALNUM = string.ascii_letters + string.digits
tails = st.text(ALNUM, min_size=16, max_size=48)
PREFIXES = (
    "sk-", "sk-proj-", "sk-ant-api03-", "pk_live_", "rk_live_", "hf_", "ghp_", "gho_",
    "github_pat_", "glpat-", "xoxb-", "xoxp-", "gsk_", "xai-", "r8_", "nvapi-", "hvs.",
    "npm_", "pypi-", "AIza", "eyJ", "sk-or-v1-", "SG.", "dop_v1_", "pplx-",
)  # fmt: skip
shaped = st.builds(lambda head, tail: head + tail, st.sampled_from(PREFIXES), tails) | st.builds(
    lambda tail: "AKIA" + tail.upper(), tails
)
jwts = st.builds(lambda *parts: "eyJ" + ".".join(parts), tails, tails, tails)
secrets = shaped | jwts
passwords = st.text(ALNUM + "!$-_.", min_size=8, max_size=24).filter(
    lambda text: any(map(str.isdigit, text)) and any(map(str.isalpha, text))
)


def unicode_escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


def first_escaped(text: str) -> str:
    return f"\\u{ord(text[0]):04x}" + text[1:]


def percent(text: str) -> str:
    return "".join(f"%{ord(c):02X}" for c in text)


def hexed(text: str) -> str:
    return f"\\x{ord(text[0]):02x}" + text[1:]


def twice(text: str) -> str:
    return unicode_escaped(text).replace("\\", "\\\\")


def split(text: str) -> str:
    return text[:2] + "\u200b" + text[2:]


def cut(text: str) -> str:
    return text[:3] + "\x00" + text[3:]


DISGUISES = (str, unicode_escaped, first_escaped, percent, hexed, twice, split, cut)
disguised = st.sampled_from(DISGUISES)

BESIDE = (
    "{}", "the key is {} and no other", "x={}", "({})", "[{}]", '"{}"', "key {}\nnext",
    "Bearer {}", "Incorrect API key provided: {}. You can find it at https://x",
    "authorization: Bearer {}", "{{'authorization': 'Bearer {}'}}", '{{"api_key": "{}"}}',
    '{{\\"api_key\\": \\"{}\\"}}', "https://host/path?api_key={}&x=1", "https://{}@host/v1",
    "[Errno 111] connect to https://user:{}@host:443", "b'x-api-key: {}'", "Cookie: session={};",
)  # fmt: skip
around = st.sampled_from(BESIDE)
NAMED = (
    "authorization: Bearer {}", "Authorization=Basic {}", "x-api-key: {}", "api_key={}",
    '{{"apikey": "{}"}}', "{{'password': '{}'}}", "password={}", "PASSWD: {}",
    "postgresql://user:{}@db/x", "redis://:{}@cache:6379", "?access_token={}", "client_secret={}",
    "proxy-authorization: {}", "X-User-OpenAI-Key: {}",
)  # fmt: skip


def nested(value: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(
        [value, [value], {"a": value}, {"deep": [{"er": [value]}]}, (value, 1), {value: 1},
         ValueError(value), value.encode(), {"errors": [{"message": value}]}]
    )  # fmt: skip


def written(**given: Any) -> str:
    out = io.StringIO()
    log = Log(out, console=False, level="debug")
    log("something", level="debug", **given)
    log.flush()
    people = io.StringIO()
    log = Log(people, console=True, level="debug")
    log("something", level="debug", **given)
    log.flush()
    return out.getvalue() + people.getvalue()


def readings(text: str) -> list[str]:
    """As it stands, and as somebody may read it who undoes escapes."""
    plain = text
    for _ in range(5):
        plain = redaction._unescaped(plain)
    return [text, plain, plain.replace("\\", "")]


@settings(max_examples=300, deadline=None)
@given(st.data(), secrets, around, disguised)
def test_no_key_gets_into_the_log(data: Any, secret: str, place: str, disguise: Any) -> None:
    """Of any provider's shape; in any field, nested; escaped, encoded, cut by what is not seen."""
    value = data.draw(nested(place.format(disguise(secret))))
    name = data.draw(st.sampled_from(["why", "error", "id", "traceback", "headers", "requested"]))
    for reading in readings(written(**{name: value})):
        assert secret not in reading
        assert secret[-16:] not in reading


@settings(max_examples=200, deadline=None)
@given(passwords, st.sampled_from(NAMED))
def test_no_password_gets_into_the_log(secret: str, place: str) -> None:
    """One without a shape of its own, by the word that it stands behind."""
    for reading in readings(written(error=place.format(secret))):
        assert secret not in reading


@settings(max_examples=150, deadline=None)
@given(passwords, disguised, st.text(max_size=20), st.text(max_size=20))
def test_what_the_process_has_read_as_a_key_is_never_shown(
    secret: str, disguise: Any, before: str, after: str
) -> None:
    """Whatever it looks like, and wherever it stands."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(redaction, "_known", ())
        redaction._short.cache_clear()
        learn(secret)
        for reading in readings(written(error=f"{before} {disguise(secret)} {after}")):
            assert secret not in reading
    redaction._short.cache_clear()


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.text() | st.integers() | st.none() | st.binary(), lambda inner: (
    st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
), max_leaves=12))  # fmt: skip
def test_anything_can_be_written(value: Any) -> None:
    """Lines stay lines, and JSON stays JSON."""
    out = io.StringIO()
    log = Log(out, console=False)
    log("x", value=value)
    log.flush()
    assert out.getvalue().count("\n") == 1
    json.loads(out.getvalue())


@pytest.mark.parametrize(
    "harmless",
    [
        "gpt-4o-mini", "Qwen/Qwen3-4B-Instruct", "task-1234567890", "req_0a1b2c3d4e5f000001",
        "0af7651916cd43dd8448eb211c80319c", "http://127.0.0.1:8000/v1", "unknown key: temperature",
        "models.m.credential: environment variable OPENAI_API_KEY is empty or not set",
        "max_tokens: 100000 is too many", "prompt_tokens=123456789", "keyword:maths",
        "10.0.0.1:8000", "chatcmpl-0123456789abcdef", "secret and key go together",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(harmless: str) -> None:
    assert redacted(harmless) == harmless


def test_fields_named_like_secrets_are_empty_of_them() -> None:
    found = fields({"headers": {"Authorization": "x", "x-api-key": "y", "accept": "z"}, "n": 1})
    assert found == {"headers": {"Authorization": GONE, "x-api-key": GONE, "accept": "z"}, "n": 1}


def test_what_is_huge_or_deep_is_bounded() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    assert len(json.dumps(fields({"a": deep}))) < 200
    assert len(redacted("a b " * 100_000)) <= redaction.MAX_TEXT + 1
    assert len(fields({"a": list(range(5_000))})["a"]) == redaction.MAX_ITEMS


def test_a_message_to_a_client_has_neither_keys_nor_prompts() -> None:
    said = scrubbed("cannot read 'my prompt' with sk-abcdefghijklmnop\nat x", "my prompt")
    assert said == "cannot read '…' with *** at x"
    assert len(scrubbed("x" * 5_000)) == redaction.MAX_MESSAGE


def test_trusted_fields_are_taken_as_they_are() -> None:
    assert fields({"model": "sk-abcdefghijklmnop"}, {"model"})["model"] == "sk-abcdefghijklmnop"
