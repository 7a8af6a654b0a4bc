"""The card tells what the run found, whatever the rows call themselves."""

from __future__ import annotations

from wayside.engines import card
from wayside.engines.learn import FOLDS, learn
from wayside.engines.report import answers, report
from wayside.engines.rows import Example
from wayside.engines.static import StaticClassifier
from wayside.engines.train import Recipe

RECIPE = Recipe(epochs=8, batch=8, rate=0.01, at_least=1)
ROWS = [
    Example(f"{word} {n}", label, lang, source=source)
    for label, word, source in (("fruit", "apple", "a|b"), ("tool", "hammer", "mine.jsonl"))
    for n, lang in zip("abcdefgh", ("en", "de") * 4, strict=True)
]


def training(limits: tuple[str, ...] = ()) -> tuple[card.Training, StaticClassifier]:
    learnt = learn(ROWS, RECIPE, {}, 300_000)
    model = StaticClassifier(learnt.model)
    told = card.Training(
        name="things", title="The things model", summary="what a thing is",
        command="wayside train own --name things", examples=ROWS, recipe=RECIPE, learnt=learnt,
        bytes=123_456, limits=limits, costs=[(60, 12.3), (1_000_000, 400.0)],
    )  # fmt: skip
    return told, model


def test_data_figures_calibration_cost_and_limits_are_told() -> None:
    told, model = training(("It knows nothing of vegetables.",))
    unseen = [Example("an apple", "fruit", "en"), Example("ein hammer", "tool", "de")]
    text = card.as_markdown(told, [("held out", report("x", answers(model.classify, unseen)))])
    assert text.startswith("# The things model\n")
    assert "| held out | 2 | 1.000 |" in text
    assert "| `fruit` | 1.00 | 1.00 | 1.00 | 1 |" in text
    assert "| a\\|b | 8 |" in text and "| de | 8 |" in text
    assert "| 1,000,000 | 400 |" in text and "123,456 bytes" in text
    assert "- It knows nothing of vegetables." in text
    assert "`fruit` was learnt from 8 rows only" in text
    assert f"seed {RECIPE.seed}" in text and "temperature" in text
    assert "As a detector of `fruit`" in text


def test_a_clean_set_comes_first_and_says_what_it_is() -> None:
    told, model = training()
    found = report("x", answers(model.classify, [Example("an apple", "fruit", "en")]))
    other = report("x", answers(model.classify, [Example("hammer", "fruit", "en")]))
    text = card.as_markdown(told, [("clean", found), ("held out", other)])
    assert "nobody looked at single mistakes" in text and "| clean | 1 | 1.000 |" in text
    assert "| `fruit` | 1.00 | 1.00 | 1.00 | 1 |" in text, "the tables are about the clean set"
    assert "nobody looked" not in card.as_markdown(told, [("held out", other)])


def test_without_held_out_rows_the_cross_validation_speaks() -> None:
    told, _ = training()
    text = card.as_markdown(told, [])
    assert f"Cross-validated over {FOLDS} parts" in text and "On rows it never saw" not in text


def test_costs_are_medians_for_texts_of_each_size() -> None:
    asked: list[int] = []
    ticks = iter(range(10_000))
    found = card.costs(lambda t: asked.append(len(t)) or (("a", 1.0),), ROWS, lambda: next(ticks))  # type: ignore[func-returns-value]
    assert [size for size, _ in found] == list(card.SIZES)
    assert all(us == 1e6 for _, us in found)
    assert set(asked[:100]) == {60} and max(asked) >= 1_000_000
