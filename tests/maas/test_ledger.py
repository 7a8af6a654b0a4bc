"""The ledger: what is written, what is let go, and how it is added up (rows A2-37, A2-38)."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from wayside.cli.usage import command
from wayside.maas import ledger as ledgers
from wayside.maas.ledger import Ledger, Row, connect, path_of, prune
from wayside.maas.usage import Question, added_up, total
from wayside.settings.maas import MaasSettings

NOW = 1_763_682_600.0  # 2025-11-20T23:50:00Z


def settings(folder: Path, **usage: Any) -> MaasSettings:
    return MaasSettings.model_validate({"folder": str(folder), "usage": usage})


Said = list[tuple[str, dict[str, Any]]]


def ledger(folder: Path, said: Said | None = None, **usage: Any) -> Ledger:
    news = [] if said is None else said
    return Ledger(
        settings(folder, **usage), lambda event, **more: news.append((event, more)), lambda: NOW
    )


def row(**more: Any) -> Row:
    values = {"at": NOW, "request_id": "r", "shell": "gateway", "path": "upstream",
              "user": "alice", "tier": "free", "requested_model": "auto",
              "executed_model": "small", "status": 200, "prompt_tokens": 10,
              "completion_tokens": 5, "charged_tokens": 15}  # fmt: skip
    return Row(**(values | more))


def rows_in(path: Path) -> list[dict[str, Any]]:
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    try:
        return [dict(r) for r in db.execute("SELECT * FROM usage ORDER BY seq")]
    finally:
        db.close()


def test_rows_are_written_whole_and_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "maas"
    found = ledger(folder)
    assert not folder.exists()  # nothing is made before there is something to write
    found.add(row(user="o'brien", cost=0.25, currency="USD", stream=True))
    assert found.flushed()
    (kept,) = rows_in(found.path)
    assert {k: v for k, v in kept.items() if k != "seq"} == {
        name: getattr(row(user="o'brien", cost=0.25, currency="USD", stream=True), name)
        for name in Row.__struct_fields__
    }
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
    found.close()


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    found = ledger(tmp_path)
    for i in range(2500):
        found.add(row(request_id=str(i)))
    found.close()
    assert [r["request_id"] for r in rows_in(found.path)] == [str(i) for i in range(2500)]
    assert (found.written, found.dropped) == (2500, 0)


def _write(folder: str, user: str) -> None:
    found = ledger(Path(folder))
    for _ in range(200):
        found.add(row(user=user))
    found.close(20)


def test_several_workers_write_the_same_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(str(tmp_path), f"u{i}")) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    found = added_up(tmp_path / "usage.db", Question())
    assert sorted((r["user"], r["requests"]) for r in found) == [(f"u{i}", 200) for i in range(3)]


def test_what_is_too_much_is_dropped_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "MOST", 3)
    monkeypatch.setattr(ledgers, "GATHER_S", 0.2)
    said: Said = []
    found = ledger(tmp_path, said)
    for _ in range(40):
        found.add(row())
    found.close()
    assert found.dropped > 30 and found.written == 40 - found.dropped
    assert [event for event, _ in said] == ["usage rows dropped"]


def test_a_file_that_cannot_be_written_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "GATHER_S", 0.01)
    monkeypatch.setattr(ledgers, "LONGEST_PAUSE_S", 0.02)
    broken = [True]
    real = ledgers.connect

    def connecting(path: Path) -> sqlite3.Connection:
        if broken:
            broken.clear()
            raise sqlite3.OperationalError("disk I/O error")
        return real(path)

    monkeypatch.setattr(ledgers, "connect", connecting)
    said: Said = []
    found = ledger(tmp_path, said)
    found.add(row())
    assert found.flushed()
    found.close()
    assert [event for event, _ in said] == ["usage not written", "usage is written again"]
    assert said[0][1]["why"] == "disk I/O error" and len(rows_in(found.path)) == 1


def test_old_rows_and_too_many_are_let_go(tmp_path: Path) -> None:
    db = connect(tmp_path / "usage.db")
    for i in range(10):
        values = (NOW - i * 86_400, *[getattr(row(), n) for n in Row.__struct_fields__[1:]])
        db.execute(ledgers._INSERT, values)
    db.commit()
    assert prune(db, NOW - 7.5 * 86_400, 1000) == 2
    assert prune(db, 0, 1000) == 0
    assert prune(db, 0, 5) == 3
    assert [r[0] for r in db.execute("SELECT seq FROM usage ORDER BY seq")] == [4, 5, 6, 7, 8]
    db.close()


def test_the_thread_prunes(tmp_path: Path) -> None:
    found = ledger(tmp_path, keep_days=7)
    found.add(row(at=NOW - 8 * 86_400))
    found.add(row())
    found.close()
    assert [r["at"] for r in rows_in(found.path)] == [NOW]


def test_a_later_versions_file_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "usage.db") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(sqlite3.DatabaseError, match="later version"):
        connect(tmp_path / "usage.db")


def test_the_file_is_where_the_settings_say(tmp_path: Path) -> None:
    assert path_of(settings(tmp_path)) == tmp_path / "usage.db"
    assert path_of(settings(tmp_path, path="/elsewhere/u.db")) == Path("/elsewhere/u.db")


@pytest.fixture
def some(tmp_path: Path) -> Path:
    found = ledger(tmp_path)
    found.add(row(cost=0.1, currency="EUR"))
    found.add(row(at=NOW + 3600, executed_model="large", prompt_tokens=100, cost=0.2,
                  currency="USD"))  # fmt: skip
    found.add(row(at=NOW + 3601, status=429, executed_model="", prompt_tokens=0,
                  completion_tokens=0))  # fmt: skip
    found.add(row(user="=bob", tier="premium", executed_model="cache", prompt_tokens=0,
                  completion_tokens=0, saved_tokens=9))  # fmt: skip
    found.close()
    return found.path


def test_sums_of_groups(some: Path) -> None:
    by_model = added_up(some, Question(by=("model",)))
    assert [(r["model"], r["prompt_tokens"]) for r in by_model] == [
        ("large", 100), ("small", 10), ("", 0), ("cache", 0),
    ]  # fmt: skip
    by_day = added_up(some, Question(by=("day",), where={"user": "alice"}))
    assert [(r["day"], r["requests"], r["refused"], r["currency"]) for r in by_day] == [
        ("2025-11-20", 1, 0, "EUR"), ("2025-11-21", 2, 1, "USD"),
    ]  # fmt: skip


def test_currencies_are_not_added_up(some: Path) -> None:
    found = added_up(some, Question(where={"user": "alice"}))
    assert sorted((r["currency"], r["cost"]) for r in found) == [("EUR", 0.1), ("USD", 0.2)]
    assert sum(r["requests"] for r in found) == 3
    assert sorted((r["currency"], r["cost"]) for r in total(found)) == [("EUR", 0.1), ("USD", 0.2)]


def test_a_time_can_be_chosen(some: Path) -> None:
    found = added_up(some, Question(by=(), since=NOW + 1, until=NOW + 3601))
    assert [r["requests"] for r in found] == [1]


@pytest.mark.parametrize("question", [Question(by=("nonsense",)), Question(where={"at": "0"})])
def test_only_names_that_are_known_reach_the_database(some: Path, question: Question) -> None:
    with pytest.raises(ValueError, match="one of"):
        added_up(some, question)


def asked(some: Path, *options: str) -> Any:
    return CliRunner().invoke(command, ["--file", str(some), *options])


def test_the_command_shows_a_table(some: Path) -> None:
    found = asked(some, "--by", "user,model")
    lines = [line.split() for line in found.output.splitlines()]
    assert lines[0][:4] == ["user", "model", "requests", "refused"]
    assert ["alice", "large", "1", "0", "0", "100", "5", "0", "15", "0.200000", "USD"] in lines
    assert any(line and line[0] == "total" for line in lines)


def test_the_command_gives_data(some: Path) -> None:
    found = json.loads(asked(some, "--json", "--by", "tier").output)
    assert {r["tier"]: r["requests"] for r in found["usage"]}["premium"] == 1
    assert sum(r["requests"] for r in found["total"]) == 4


def test_the_command_gives_a_spreadsheet_that_runs_nothing(some: Path) -> None:
    found = list(csv.DictReader(io.StringIO(asked(some, "--csv").output)))
    assert {r["user"] for r in found} == {"alice", "'=bob"}


def test_the_command_reads_the_configuration(some: Path, tmp_path: Path) -> None:
    config = tmp_path / "wayside.yaml"
    config.write_text(
        f"models: {{m: {{endpoints: ['http://h:1']}}}}\nmaas: {{folder: {some.parent}}}"
    )
    found = CliRunner().invoke(command, ["--config", str(config), "--user", "alice", "--json"])
    assert sum(r["requests"] for r in json.loads(found.output)["total"]) == 3, found.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesterday"], "write 24h"),
        (["--by", "colour"], "one of user"),
        (["--json", "--csv"], "exclude"),
    ],
)
def test_the_command_says_what_is_wrong(some: Path, options: list[str], said: str) -> None:
    found = asked(some, *options)
    assert found.exit_code == 2 and said in found.output


def test_the_command_says_that_there_is_nothing(some: Path, tmp_path: Path) -> None:
    assert "Nothing was asked" in asked(some, "--user", "nobody").output
    assert asked(tmp_path / "no.db").exit_code == 1
    (tmp_path / "text.db").write_text("this is no database, and longer than its header is")
    assert "cannot be read" in asked(tmp_path / "text.db").output
