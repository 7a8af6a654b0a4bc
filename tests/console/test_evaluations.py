"""Labelled texts against a signal or the decisions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.console.data_rig import Gaps, Rig, console
from tests.gateway.api_rig import Fake, models, ranked
from wayside.console import evaluated as evaluated_module
from wayside.console.evaluated import KEPT
from wayside.console.evaluations import WAITING, Evaluations
from wayside.engines.thresholds import curve
from wayside.vocab.errors import AskFailed


def classify(text: str) -> Any:
    """As sure of law as the text's last word says."""
    sure = float(text.split()[-1])
    return ranked(law=sure, math=round(0.99 - sure, 4), other=0.01)


ENGINES = {**models(), "domain": Fake("classify", classify)}


async def run(rig: Rig, signal: str, rows: list[tuple[str, str]], **more: Any) -> Any:
    """An evaluation from its beginning to its end."""
    body = {"signal": signal, "rows": [{"text": t, "label": label} for t, label in rows], **more}
    status, told = await rig.post("/evaluations", body)
    assert status == 201, told
    return await ended(rig, told["id"])


async def ended(rig: Rig, id: str) -> Any:
    for _ in range(1000):
        status, told = await rig.get(f"/evaluations/{id}")
        assert status == 200
        if told["state"] != "running" and id not in rig.part(Evaluations)._running:
            return told
        await asyncio.sleep(0.01)
    raise AssertionError("it goes on for ever")


async def test_what_may_be_evaluated() -> None:
    async with console(engines=ENGINES) as rig:
        status, told = await rig.get("/evaluations/choices")
        assert status == 200
        of = {choice["id"]: choice for choice in told["of"]}
        assert of["decision"]["labels"] == ["hurry", "court", "sums", "(none)"]
        assert of["domain"]["labels"] == ["law", "math", "(none)"]
        assert of["domain:law"] == {"id": "domain:law", "labels": ["yes", "no"], "scored": True}
        assert of["keyword:urgent"]["scored"] is False


async def test_one_rule_with_its_thresholds() -> None:
    async with console(engines=ENGINES) as rig:
        rows = [("a 0.9", "yes"), ("b 0.7", "yes"), ("c 0.45", "yes"), ("d 0.3", "no")]
        rows += [("e 0.6", "no"), ("f 0.1", "no")]
        told = await run(rig, "domain:law", rows, name="law, by hand")
        assert (told["state"], told["done"], told["total"]) == ("done", 6, 6)
        assert (told["name"], told["by"], told["threshold"]) == ("law, by hand", "ada", 0.5)
        assert told["labels"] == ["no", "yes"]
        assert told["matrix"] == [[2, 1], [1, 2]]
        assert told["accuracy"] == pytest.approx(4 / 6, abs=1e-4)
        yes = next(row for row in told["by_label"] if row["label"] == "yes")
        assert yes["precision"] == yes["recall"] == pytest.approx(2 / 3, abs=1e-4)
        assert yes["count"] == 3 and told["macro_f1"] == pytest.approx(2 / 3, abs=1e-4)
        at = {point["threshold"]: point for point in told["curve"]}
        assert at[0.7] == {"threshold": 0.7, "precision": 1.0, "recall": 0.6667, "f1": 0.8}
        assert at[0.45]["recall"] == 1.0 and at[0.45]["precision"] == 0.75
        assert {(w["text"], w["label"], w["said"], w["score"]) for w in told["wrong"]} == {
            ("c 0.45", "yes", "no", 0.45),
            ("e 0.6", "no", "yes", 0.6),
        }
        assert told["p50_ms"] > 0


async def test_a_kind_and_the_decisions() -> None:
    async with console(engines=ENGINES) as rig:
        rows = [("a 0.9", "law"), ("b 0.1", "math"), ("c 0.1", "law")]
        told = await run(rig, "domain", rows)
        assert told["labels"] == ["law", "math"] and told["matrix"] == [[1, 1], [0, 1]]
        assert told["curve"] == [] and told["threshold"] is None
        rows = [("urgent 0.9", "hurry"), ("a 0.9", "court"), ("please 0.9", "court")]
        told = await run(rig, "decision", rows)
        assert told["labels"] == ["(none)", "court", "hurry"]
        assert told["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
        (wrong,) = told["wrong"]
        assert (wrong["label"], wrong["said"]) == ("court", "(none)")


async def test_what_nobody_could_tell_is_a_column_of_its_own() -> None:
    def away(text: str) -> Any:
        raise AskFailed("nobody is there")

    engines = {**models(), "domain": Fake("classify", away)}
    async with console(engines=engines) as rig:
        told = await run(rig, "domain:law", [("a 0.9", "yes")])
        assert told["labels"] == ["(unknown)", "yes"] and told["accuracy"] == 0


async def test_rows_that_cannot_be_are_refused() -> None:
    async with console(engines=ENGINES) as rig:
        row = {"text": "a secret text 0.1", "label": "yes"}
        for body, said in (
            ({"signal": "domain:lawn", "rows": [row]}, "did you mean 'domain:law'"),
            ({"signal": "domain:law", "rows": []}, "rows"),
            ({"signal": "domain:law", "rows": [{**row, "more": 1}]}, "rows[0]"),
            ({"signal": "domain:law"}, "rows"),
            ({"signal": "domain:law", "rows": [row, {**row, "label": "yse"}]}, "rows[1].label"),
            ({"signal": "domain:law", "rows": [{**row, "text": "x" * 20_001}]}, "rows[0].text"),
        ):
            status, told = await rig.post("/evaluations", body)
            assert status == 400 and said in told["error"]["message"]
            assert "secret" not in str(told)
        assert (await rig.get("/evaluations"))[1] == {"evaluations": []}
        assert (await rig.get("/evaluations/aaaaaaaaaaaa"))[0] == 404


async def test_the_list_has_no_prompts_and_the_newest_first() -> None:
    async with console(engines=ENGINES) as rig:
        await run(rig, "domain:law", [("a 0.9", "no")], name="first")
        await run(rig, "domain:law", [("b 0.9", "no")], name="second")
        told = (await rig.get("/evaluations"))[1]["evaluations"]
        assert [one["name"] for one in told] == ["second", "first"]
        assert all(one["wrong"] == [] == one["curve"] for one in told)
        assert "a 0.9" not in json.dumps(told)


async def test_they_outlive_the_process_and_stay_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with console(engines=ENGINES, folder=tmp_path) as rig:
        first = await run(rig, "domain:law", [("a 0.9", "no")], name="kept")
        (path,) = (tmp_path / "evaluations").iterdir()
        assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "evaluations" / "not one.json").write_text("{")
    (tmp_path / "evaluations" / "abcdefabcdef.json").write_text("{")
    stopped = json.loads(path.read_text()) | {"id": "0" * 12, "state": "running", "at": 1.0}
    (tmp_path / "evaluations" / f"{'0' * 12}.json").write_text(json.dumps(stopped))
    async with console(engines=ENGINES, folder=tmp_path) as rig:
        told = (await rig.get("/evaluations"))[1]["evaluations"]
        assert [(one["name"], one["state"]) for one in told] == [
            ("kept", "done"),
            ("kept", "failed"),
        ]
        assert (await rig.get(f"/evaluations/{first['id']}"))[1] == first
        assert (await rig.delete(f"/evaluations/{first['id']}"))[0] == 200
        assert not path.exists() and (await rig.get(f"/evaluations/{first['id']}"))[0] == 404
        monkeypatch.setattr(evaluated_module, "KEPT", 3)
        for n in range(5):
            await run(rig, "domain:law", [("a 0.9", "no")], name=str(n))
        told = (await rig.get("/evaluations"))[1]["evaluations"]
        assert [one["name"] for one in told] == ["4", "3", "2"] and KEPT == 50


async def test_one_at_a_time_and_few_that_wait() -> None:
    """A long one gives way to requests, and can be stopped."""
    async with console(engines=ENGINES) as rig:
        rows = [{"text": f"{n} 0.7", "label": "yes"} for n in range(5_000)]
        raw = json.dumps({"signal": "domain:law", "rows": rows}).encode()

        async def begin() -> tuple[int, Any]:
            async with rig.client.post(rig.url + "/evaluations", data=raw) as answer:
                return answer.status, await answer.json()

        ids = []
        async with Gaps() as gaps:
            for _ in range(WAITING):
                status, told = await begin()
                assert status == 201
                ids.append(told["id"])
            status, told = await begin()
            assert status == 429 or (await rig.get(f"/evaluations/{ids[0]}"))[1]["state"] == "done"
            for id in ids[1:]:
                assert (await rig.delete(f"/evaluations/{id}"))[0] == 200
            told = await ended(rig, ids[0])
        assert told["state"] == "done" and told["done"] == 5_000 and told["accuracy"] == 1.0
        print(f"longest {gaps.worst * 1e3:.1f} ms")
        assert gaps.worst < 0.1


def test_a_curve_is_what_counting_says() -> None:
    scored = [(0.9, True), (0.8, False), (0.8, True), (0.3, True), (0.1, False)]
    for point in curve(scored):
        said = [right for score, right in scored if score >= point.threshold]
        assert point.precision == pytest.approx(sum(said) / len(said))
        assert point.recall == pytest.approx(sum(said) / 3)
    many = curve(((n / 1000, n % 3 == 0) for n in range(1000)), points=100)
    assert len(many) == 100 and many[0].threshold == 0.0 and many[-1].threshold == 0.999
    assert curve([]) == [] and curve([(0.5, False)])[0].f1 == 0
