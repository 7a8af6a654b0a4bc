"""Files are checked when they are loaded, and answers are what the arrays say."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wayside.engines import Engine, Engines
from wayside.engines.selection_file import PROBE, Learnt, write
from wayside.engines.selection_run import Model, Selectors
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.observed import ModelFacts
from wayside.vocab.taught import Algorithm, Nearest, Outcome, Scored, Taught


class Flat(Engine):
    """Two numbers a text: how much of it is letters, how much digits."""

    def embed(self, texts: tuple[str, ...]) -> Any:
        rows = [[sum(c.isalpha() for c in t), sum(c.isdigit() for c in t)] for t in texts]
        found = np.array(rows, np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


class Later(Flat):
    async def embed(self, texts: tuple[str, ...]) -> Any:
        await asyncio.sleep(0)
        return super().embed(texts)


class Other(Flat):
    def embed(self, texts: tuple[str, ...]) -> Any:
        return super().embed(texts)[:, ::-1]


class Longer(Flat):
    def embed(self, texts: tuple[str, ...]) -> Any:
        return np.zeros((len(texts), 3), np.float32)


ENGINES: dict[str, Engine] = {
    "flat": Flat(),
    "later": Later(),
    "other": Other(),
    "longer": Longer(),
}


def selectors() -> Selectors:
    def vector(engine: str, text: str) -> Any:
        found = ENGINES[engine].embed((text,))
        return asyncio.ensure_future(found) if inspect.iscoroutine(found) else found

    return Selectors(ENGINES.__getitem__, vector)


def learnt(**change: Any) -> Learnt:
    made = Learnt(
        algorithm="knn",
        models=("a", "b", "c"),
        categories=("law", "math"),
        embedder="flat",
        probe=Flat().embed((PROBE,))[0],
        arrays={
            # Letters about law; digits about math; digits about law
            "points": np.array([(1, 0, 1, 0), (0, 1, 0, 1), (0, 1, 1, 0)], np.float32),
            "quality": np.array([(1, 0, 0.5), (0, -1, 1), (0.2, 0.3, 0.4)], np.float32),
            "seconds": np.array([(4, 1, 2), (3, -1, 0), (1, 1, 1)], np.float32),
        },
        facts={},
    )
    return dataclasses.replace(made, **change)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "knn.selector"
    write(path, learnt())
    return str(path)


def taught(
    file: str, *models: str, algorithm: Algorithm = "knn", embedder: str = "flat"
) -> Taught:
    made = Taught(algorithm, file, embedder)
    made.meet(tuple(ModelFacts(name=m) for m in models))
    return made


def test_the_nearest_points_in_order_and_the_models_that_may_be_chosen(file: str) -> None:
    on = selectors()
    mine = taught(file, "c", "b")
    on.load(mine)
    found = on.nearest(Nearest("123", "law", mine, 2))
    # (0, 1 | 1, 0): the third point itself; then the first and the second are as far, at 2
    assert found == (
        Outcome(pytest.approx(1.0), (pytest.approx(0.4), pytest.approx(0.3)), (0.75, 0.75)),
        Outcome(pytest.approx(0.5), (0.5, 0.0), (0.5, 0.75)),
    )
    (best,) = on.nearest(Nearest("42", "math", mine))  # type: ignore[misc]
    assert best == Outcome(pytest.approx(1.0), (1.0, None), (1.0, None))
    assert len(on.nearest(Nearest("x", "", mine, 99))) == 3  # type: ignore[arg-type]


def test_an_unknown_category_is_none_of_them() -> None:
    model = Model(learnt())
    assert model.features(np.array((0.6, 0.8), np.float32), "poetry").tolist() == pytest.approx(
        [0.6, 0.8, 0, 0]
    )
    assert model.features(np.array((0.6, 0.8), np.float32), "math")[3] == 1


@pytest.mark.parametrize(
    ("change", "where", "said", "fix"),
    [
        ({"file": "none"}, "file", "cannot be read: No such file", "wayside train selection"),
        ({"algorithm": "svm"}, "file", "was trained for knn, not svm", "write knn instead"),
        ({"models": "bb"}, "file", "has never seen model 'bb'", "did you mean 'b'? or measure it"),
        ({"embedder": "other"}, "embedder", "vectors are not those of 'other'", "the one it was"),
        ({"embedder": "longer"}, "embedder", "2 numbers; those of 'longer' have 3", "name the"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_on_load(
    file: str, change: dict[str, Any], where: str, said: str, fix: str
) -> None:
    given = {"file": file, "algorithm": "knn", "embedder": "flat", "models": "b", **change}
    mine = taught(
        given["file"], "a", given["models"], algorithm=given["algorithm"],
        embedder=given["embedder"],
    )  # fmt: skip
    with pytest.raises(ConfigError) as error:
        selectors().load(mine)
    (problem,) = error.value.problems
    assert problem.where == where and said in problem.what and fix in problem.fix


def test_a_damaged_file_is_refused_on_load(file: str) -> None:
    Path(file).write_bytes(Path(file).read_bytes()[:-1])
    with pytest.raises(ConfigError, match="is damaged"):
        selectors().load(taught(file, "a", "b"))


def test_what_was_not_loaded_is_loaded_when_asked_and_a_bad_file_is_a_failed_ask(
    file: str,
) -> None:
    found = selectors().nearest(Nearest("42", "math", taught(file, "a")))
    assert isinstance(found, tuple)
    with pytest.raises(AskFailed, match="cannot be read"):
        selectors().nearest(Nearest("42", "math", taught("none", "a")))


def test_an_embedder_that_answers_later_is_proved_when_first_asked(file: str) -> None:
    async def asked(embedder: str) -> Any:
        on = selectors()
        mine = taught(file, "a", "b", embedder=embedder)
        on.load(mine)
        first = on.nearest(Nearest("42", "math", mine))
        assert inspect.isawaitable(first)
        return await first, await on.nearest(Nearest("42", "math", mine))  # type: ignore[misc]

    one, two = asyncio.run(asked("later"))
    assert one == two and one[0].quality == (0.0, None)

    class Wrong(Later):
        async def embed(self, texts: tuple[str, ...]) -> Any:
            return (await super().embed(texts))[:, ::-1]

    ENGINES["wrong"] = Wrong()
    with pytest.raises(AskFailed, match="whose vectors are not those of 'wrong'"):
        asyncio.run(asked("wrong"))


def test_a_large_file_is_compared_elsewhere(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wayside.engines.selection_run.MAX_AT_ONCE", 1)

    async def asked() -> Any:
        on = selectors()
        mine = taught(file, "a", "b")
        on.load(mine)
        found = on.nearest(Nearest("42", "math", mine))
        assert inspect.isawaitable(found)
        return await found

    assert asyncio.run(asked())[0].quality == (0.0, None)


def test_two_decisions_share_one_file_and_a_new_one_is_noticed(file: str, tmp_path: Path) -> None:
    on = selectors()
    one, two = taught(file, "a", "b"), taught(file, "c")
    on.load(one)
    on.load(two)
    assert on._ready[one].model is on._ready[two].model
    quality = np.zeros((3, 3), np.float32)
    write(Path(file), learnt(arrays={**learnt().arrays, "quality": quality}, facts={"n": 1}))
    on.load(taught(file, "a"))
    three = taught(file, "c")
    on.load(three)
    assert on.nearest(Nearest("42", "math", three))[0].quality == (0.0,)  # type: ignore[index]


def test_engines_answer_for_their_selectors(tmp_path: Path) -> None:
    engines = Engines()
    vector = engines.engine("embedding").embed((PROBE,))[0]  # type: ignore[index]
    mlp = Learnt(
        "mlp",
        ("a", "b"),
        ("math",),
        "embedding",
        vector,
        {
            "inner": np.zeros((len(vector) + 1, 1), np.float32),
            "inner_biases": np.ones(1, np.float32),
            "outer": np.array([(0.0, 2.0)], np.float32),
            "outer_biases": np.zeros(2, np.float32),
        },
        {},
    )
    write(tmp_path / "m", mlp)
    mine = taught(str(tmp_path / "m"), "b", "a", algorithm="mlp", embedder="embedding")
    found = engines.answerers()[Scored](Scored("hello", "math", mine))
    assert found == pytest.approx((0.880797, 0.5))
