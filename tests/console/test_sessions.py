"""Who may log in, for how long, and how often one may try."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from wayside.console.audit import Audit
from wayside.console.inside import Who
from wayside.console.sessions import (
    OF_ALL,
    OF_ONE,
    SHORTEST,
    WINDOW_S,
    Attempts,
    Sessions,
    Tokens,
    made_at,
    rotated,
)
from wayside.runtime.keys import KeyRing
from wayside.settings.console import ConsoleSettings
from wayside.telemetry import Log
from wayside.vocab.errors import ConfigError

ADA = Who("ada", "admin")


def tokens(folder: Path, env: dict[str, str] | None = None, **more: object) -> Tokens:
    return Tokens(ConsoleSettings.model_validate(more), folder, KeyRing(env or {}))


def configured(**source: str) -> list[dict[str, object]]:
    return [{"name": "ada", "role": "admin", "token": source}]


def test_nobody_logs_in_by_default(tmp_path: Path) -> None:
    """Fault 37: there are no default credentials."""
    found = tokens(tmp_path)
    assert [found.find(t) for t in ("", "admin", "password", "wayside", "\ud800")] == [None] * 5


def test_a_token_of_a_run_is_random_and_kept_as_a_hash(tmp_path: Path) -> None:
    """Fault 37: generated once, and nothing of it is left in memory or on disk."""
    found = tokens(tmp_path)
    token = found.fresh()
    assert len(token) >= 43  # 256 bits
    assert token not in repr(vars(found))
    who, by = found.find(token) or (None, "")
    assert who == Who("admin", "admin") and found.holds(by)
    assert found.find(token[:-1]) is None and found.find(token + "x") is None
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_lasts_is_a_hash_in_a_file_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    found = tokens(folder)
    assert made_at(folder) is None
    first = rotated(folder)
    assert found.find(first) is not None
    file = folder / "token.json"
    assert first not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert made_at(folder)
    second = rotated(folder)
    assert found.find(first) is None and found.find(second) is not None
    file.write_text("not json")
    assert found.find(second) is None


def test_tokens_of_the_settings_are_read_again_and_never_short(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("the-first-token-of-ada\n")
    keys = KeyRing({})
    rule = ConsoleSettings.model_validate({"tokens": configured(file=str(file))})
    found = Tokens(rule, tmp_path, keys)
    assert found.find("the-first-token-of-ada") is not None
    file.write_text("the-second-token-of-ada\n")
    keys.refresh()
    assert found.find("the-first-token-of-ada") is None
    assert found.find("the-second-token-of-ada") is not None
    file.write_text("short\n")  # a mistake at run time lets nobody in
    keys.refresh()
    assert found.find("short") is None
    with pytest.raises(ConfigError, match=rf"tokens\[0\].token: is shorter than {SHORTEST}"):
        tokens(tmp_path, {"T": "tiny"}, tokens=configured(env="T"))
    with pytest.raises(ConfigError, match="environment variable T is empty"):
        tokens(tmp_path, {}, tokens=configured(env="T"))


def test_sessions_are_bounded_and_end(tmp_path: Path) -> None:
    now = [0.0]
    good = {"hash"}
    found = Sessions(2, 100.0, good.__contains__, clock=lambda: now[0])
    first, _ = found.begin(ADA)
    second, session = found.begin(ADA, "hash")
    assert found.find(first) is not None and session.csrf
    third, _ = found.begin(ADA)
    assert found.find(first) is None  # the oldest
    assert found.find(third) is not None and len(found) == 2
    good.clear()  # the token was rotated
    assert found.find(second) is None
    now[0] = 100.0
    assert found.find(third) is None and len(found) == 0
    assert found.find("x" * 10_000) is None


def test_failed_logins_are_limited_by_address_and_in_all() -> None:
    """Fault 37: nobody guesses on and on, and remembering who tried is bounded, too."""
    now = [0.0]
    found = Attempts(clock=lambda: now[0])
    for _ in range(OF_ONE):
        assert found.wait_s("a") == 0
        found.failed("a")
    assert found.wait_s("a") == WINDOW_S and found.wait_s("b") == 0
    now[0] = WINDOW_S
    assert found.wait_s("a") == 0
    for i in range(5 * OF_ALL):
        found.failed(f"10.0.0.{i}")
    assert found.wait_s("c") > 0
    assert len(found._by) <= 1000


def test_the_audit_survives_a_restart_and_is_bounded(tmp_path: Path) -> None:
    def audit() -> Audit:
        return Audit(tmp_path / "state", 8, Log(io.StringIO()), clock=lambda: 5.0)

    def entry(i: int) -> dict[str, str]:
        return {"who": f"u{i}", "role": "admin", "what": "PUT /config", "target": "x",
                "outcome": "done", "from_": "::1"}  # fmt: skip

    first = audit()
    for i in range(30):
        first.add(**entry(i))
    file = tmp_path / "state" / "audit.jsonl"
    assert len(file.read_bytes().splitlines()) <= 10
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with file.open("ab") as opened:
        opened.write(b'{"cut short')
    again = audit()
    assert [e["who"] for e in again.newest(3)] == ["u29", "u28", "u27"]
    again.add(**{**entry(30), "target": "with Bearer abcdefghijklmnop", "what": "x" * 5000})
    newest = audit().newest(1)[0]
    assert newest["who"] == "u30"
    assert "abcdefghijklmnop" not in json.dumps(newest) and len(str(newest["what"])) <= 500


def test_an_audit_that_cannot_be_written_is_kept_in_memory_and_the_log_says_so(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    log = io.StringIO()
    found = Audit(tmp_path / "file" / "state", 8, Log(log, console=False))
    for _ in range(2):
        found.add(who="ada", role="admin", what="w", target="t", outcome="done", from_="")
    found._log.flush()
    assert len(found.newest(9)) == 2
    assert log.getvalue().count("audit not written") == 1
