"""``wayside train selection``: from measurements to a file that routes, and an honest report."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Wayside
from wayside.cli.app import load_engines
from wayside.engines import Engines
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.vocab.errors import ConfigError

SUMS = [f"what is {a} plus {b} times {a * b}" for a in range(3, 13) for b in range(3, 9)]
TALES = [
    f"tell me a {mood} story about a {who}"
    for mood in ("sad", "funny", "short", "long", "strange", "quiet")
    for who in ("dragon", "sailor", "widow", "fox", "teacher", "ghost", "king", "child")
]
BASE = """
models:
  sums: {endpoints: [http://127.0.0.1:1]}
  tales: {endpoints: [http://127.0.0.1:1]}
routing:
  decisions:
    - {name: all, models: [tales, sums], select: {ALGORITHM: {file: it.selector}}}
"""
ONE = '{"query": "x", "model": "a", "performance": 1}'


@pytest.fixture
def rows(here: Path) -> Path:
    """Each model is right with its own sort of question, nearly always."""
    dice = random.Random(4)
    lines = [
        {
            "query": query,
            "model": model,
            "performance": float(dice.random() < (0.95 if own else 0.1)),
            "response_time": 1.0,
        }
        for texts, best in ((SUMS, "sums"), (TALES, "tales"))
        for query in texts
        for model in ("sums", "tales")
        for own in [model == best]
    ]
    file = here / "rows.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.mark.parametrize("algorithm", ["knn", "kmeans", "svm", "mlp"])
def test_what_it_learns_is_what_the_router_does(
    wayside: Wayside, rows: Path, algorithm: str
) -> None:
    said = wayside(
        "train", "selection", "-a", algorithm, "rows.jsonl", "-o", "it.selector", "--json"
    )
    assert said.status == 0, said.err
    told = json.loads(said.out)
    found = {row["name"]: row for row in told["rows"]}
    assert found[algorithm]["quality"] > found["always sums"]["quality"] + 0.2
    assert found["oracle"]["regret"] == 0 and found[algorithm]["regret"] < 0.2
    assert told["gain"] > 2 * told["gain_error"] > 0
    assert told["held_out"] == round(0.2 * (len(SUMS) + len(TALES)))
    Path("wayside.yaml").write_text(BASE.replace("ALGORITHM", algorithm))
    for prompt, model in (("what is 91 plus 17 times 3", "sums"), ("tell me a story", "tales")):
        said = wayside("route", prompt, "--json")
        assert said.status == 0, said.err
        assert json.loads(said.out)["model"] == model


def test_the_same_rows_and_seed_are_the_same_bytes_in_any_order(
    wayside: Wayside, rows: Path
) -> None:
    lines = rows.read_text().splitlines()
    Path("turned.jsonl").write_text("\n".join(reversed(lines)))
    for name, file, seed in (("a", "rows", "1"), ("b", "turned", "1"), ("c", "rows", "2")):
        words = ("-a", "mlp", f"{file}.jsonl", "-o", name, "--seed", seed, "--epochs", "3")
        assert wayside("train", "selection", *words).status == 0
    one, two, other = (Path(name).read_bytes() for name in "abc")
    assert one == two != other


def test_the_report_for_people(wayside: Wayside, rows: Path) -> None:
    said = wayside("train", "selection", "-a", "knn", "rows.jsonl")
    assert said.status == 0, said.err
    assert "against the best single model: +" in said.out
    assert ": better than any single model" in said.out
    assert "models/model-selection/knn.selector: " in said.out
    assert Path("models/model-selection/knn.selector").exists()


def test_a_selector_of_noise_is_said_to_be_worth_nothing(wayside: Wayside, here: Path) -> None:
    dice = random.Random(9)
    lines = [
        json.dumps({"query": query, "model": model, "performance": float(dice.random() < 0.5)})
        for query in SUMS + TALES
        for model in ("a", "b")
    ]
    Path("rows.jsonl").write_text("\n".join(lines))
    said = wayside("train", "selection", "-a", "kmeans", "rows.jsonl", "--clusters", "2")
    assert "no clear difference from the best single model" in said.out


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        (("-a", "knn", "none.jsonl"), "", "cannot be read"),
        (
            ("-a", "knn", "x.jsonl"),
            '{"query": "x", "model": "a", "performance": 1}',
            "only 1 model",
        ),
        (("-a", "knn", "x.jsonl"), "{}", "no field 'query'"),
        (("-a", "forest", "x.jsonl"), "", "'forest' is not one of"),
        (("-a", "knn", "x.jsonl", "--embedder", "domain"), "", "engine 'domain' does not embed"),
        (("-a", "knn", "x.jsonl", "--embedder", "embeding"), "", "did you mean 'embedding'?"),
        (("x.jsonl",), "", "Missing option '--algorithm'"),
    ],
)
def test_mistakes_are_told_with_their_fix(
    wayside: Wayside, here: Path, words: tuple[str, ...], text: str, said: str
) -> None:
    Path("x.jsonl").write_text(text)
    Path("wayside.yaml").write_text(BASE.replace("ALGORITHM", "knn"))
    found = wayside("train", "selection", *words)
    assert found.status == 2 and said in found.err, found.err


def test_too_few_questions(wayside: Wayside, here: Path) -> None:
    lines = [
        json.dumps({"query": q, "model": m, "performance": 1}) for q in SUMS[:20] for m in "ab"
    ]
    Path("x.jsonl").write_text("\n".join(lines))
    found = wayside("train", "selection", "-a", "knn", "x.jsonl")
    assert found.status == 2 and "only 20 questions" in found.err


def test_a_file_that_is_missing_or_has_not_seen_a_model_stops_the_start(
    wayside: Wayside, rows: Path
) -> None:
    def problems(text: str) -> str:
        policy = compile_policy(RouterSettings.model_validate(yaml.safe_load(text)))
        with pytest.raises(ConfigError) as error:
            load_engines(Engines(), policy)
        return str(error.value)

    text = BASE.replace("ALGORITHM", "kmeans")
    assert problems(text) == (
        "routing.decisions[0].select.kmeans.file: cannot be read: No such file or directory; "
        "make it: `wayside train selection --algorithm kmeans ROWS.jsonl -o it.selector`"
    )
    assert wayside("train", "selection", "-a", "kmeans", "rows.jsonl", "-o", "it.selector").out
    assert "it.selector was trained for kmeans, not knn" in problems(text.replace("kmeans", "knn"))
    more = text.replace("[tales, sums]", "[tales, sum]").replace("  sums:", "  sum:")
    assert "has never seen model 'sum'" in problems(more)
    load_engines(Engines(), compile_policy(RouterSettings.model_validate(yaml.safe_load(text))))
