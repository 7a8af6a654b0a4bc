"""Training learns, repeats itself exactly, and the shipped model keeps its promises."""

import json
from pathlib import Path

import numpy as np
import pytest

from wayside.engines import modelfile, train
from wayside.engines.evaluate import evaluate
from wayside.engines.static import StaticClassifier

ROOT = Path(__file__).parents[2]
CORPORA = ROOT / "corpora" / "domain"
DEV = ROOT.parent / "shared" / "data" / "labelled" / "domain_dev.jsonl"

FRUIT = ("apple", "pear", "cherry", "grape", "lemon", "mango")
TOOLS = ("hammer", "saw", "drill", "wrench", "chisel", "pliers")
FRAMES = ("where is my {}", "a {} please", "i like this {}", "{}", "buy a {} today", "old {}s")
TINY = train.Recipe(epochs=30, batch=16, rate=0.01, dropout=0.2)


def made_up() -> list[train.Row]:
    return [
        (frame.format(thing), label)
        for label, things in (("fruit", FRUIT), ("tool", TOOLS))
        for thing in things
        for frame in FRAMES
    ]


def rows_of(path: Path) -> list[train.Row]:
    lines = path.read_text(encoding="utf-8").split("\n")
    return [(row["text"], row["label"]) for row in map(json.loads, filter(None, lines))]


def test_a_tiny_model_learns_is_kept_and_loads(tmp_path: Path) -> None:
    said: list[str] = []
    head = train.train(made_up(), TINY, said.append)
    file = tmp_path / "tiny.model"
    modelfile.write(file, train.quantise(head, train.Calibration(), {"rows": "made up"}))
    tiny = StaticClassifier.load(file)
    assert tiny.labels == ("fruit", "tool")
    assert tiny.classify("we sell one lemon")[0][0] == "fruit"
    assert tiny.classify("we rent out a chisel")[0][0] == "tool"
    assert evaluate(tiny, made_up()).accuracy > 0.95
    assert said[-1].startswith("epoch 30 of 30")


def test_int8_weights_say_what_the_trained_ones_said() -> None:
    rows = made_up()
    head = train.train(rows, TINY)
    small = StaticClassifier(train.quantise(head, train.Calibration(), {}))
    exact = train.softmax(train.scores(head, [text for text, _ in rows]))
    for (text, _), row in zip(rows, exact, strict=True):
        found = dict(small.classify(text))
        assert [found[label] for label in head.labels] == pytest.approx(row.tolist(), abs=0.03)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        head = train.train(made_up(), TINY)
        modelfile.write(tmp_path / name, train.quantise(head, train.Calibration(), {}))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_calibration_undoes_overconfidence() -> None:
    dice = np.random.default_rng(1)
    honest = dice.normal(0, 2, (4000, 3)).astype(np.float32)
    shares = train.softmax(honest).astype(np.float64)
    answers = np.array([dice.choice(3, p=row / row.sum()) for row in shares])
    long = dice.uniform(20, 400, len(answers)).astype(np.float32)
    even = np.ones(len(answers), np.float32)
    spoilt = honest * 2.5 * ((long / 100) ** 0.3)[:, None]
    found = train.calibrate(spoilt, long, answers, even)
    assert found.divisor == pytest.approx(2.5, rel=0.15)
    assert found.bend == pytest.approx(0.3, abs=0.1)


def test_training_from_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rows"):
        train.train([])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("2+2 is  ", "math"),
        ("Linux is said to be an open source kernel because ", "computer science"),
        ("What is the statute of limitations for breach of contract?", "law"),
        ("how long should I boil pasta", "other"),
        ("I've had a fever and a cough since Tuesday", "health"),
        ("TypeError: 'int' object is not callable", "computer science"),
        ("Was ist der Satz des Pythagoras?", "math"),
        ("why did the roman republic become an empire", "history"),
    ],
)
def test_the_shipped_model_knows_the_obvious(text: str, label: str) -> None:
    assert StaticClassifier.built_in().classify(text)[0][0] == label


def test_the_shipped_model_on_everyday_prompts_it_never_saw() -> None:
    found = evaluate(StaticClassifier.built_in(), rows_of(CORPORA / "heldout.jsonl"))
    assert found.rows >= 900
    assert found.accuracy >= 0.80
    assert found.ece <= 0.11


@pytest.mark.shared
@pytest.mark.skipif(not DEV.exists(), reason=f"needs the exam questions in {DEV}")
def test_the_shipped_model_on_exam_questions_it_never_saw() -> None:
    found = evaluate(StaticClassifier.built_in(), rows_of(DEV))
    assert found.accuracy >= 0.785
    assert found.ece <= 0.05


def test_held_out_prompts_are_not_trained_on() -> None:
    def plain(path: Path) -> set[str]:
        return {" ".join(text.lower().split()).rstrip("?.! ") for text, _ in rows_of(path)}

    files = ("handwritten.jsonl", "everyday.jsonl", "templated.jsonl")
    trained = set().union(*(plain(CORPORA / name) for name in files))
    assert not plain(CORPORA / "heldout.jsonl") & trained
