import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.context_length import ContextLengthRule, ContextLengthScorer
from wayside.vocab.endpoint import Roster


def labelled(*ranges) -> Roster:
    roster = servers(len(ranges))
    for e, text in zip(roster.endpoints, ranges, strict=True):
        e.labels = {} if text is None else {"llm-d.ai/context-length-range": text}
    return roster


def prompt(tokens, **body):
    n = need("x", **body)
    n.memo["text"] = b"x" * (4 * (tokens - 1))
    return n


@pytest.mark.parametrize(
    ("ranges", "tokens", "scores"),
    [
        (["0-2047", "0-8191", None], 100, [1.0, 0.3 + 0.7 / 4, 0.5]),
        (["0-2047", "0-8191", None], 2048, [0.3 * 2047 / 2048, 1.0, 0.5]),
        (["0-2048", "0-8192"], 9000, [0.3 * 2048 / 9000, 0.3 * 8192 / 9000]),
        (["4000-8000"], 1000, [0.3 * 0.25]),
        (["0-99,1000-1099", "1000-1199"], 1050, [1.0, 0.65]),
        (["0-99,1000-1099"], 200, [0.3 * 99 / 200]),
        (["8192-2048", "much", ""], 3000, [0.5, 0.5, 0.5]),
        (["7-7"], 7, [1.0]),
    ],
)
def test_what_fits_best_is_best(ranges, tokens, scores) -> None:
    it = ContextLengthScorer(ContextLengthRule())
    assert it.score(prompt(tokens), labelled(*ranges)) == pytest.approx(scores)


def test_the_answer_may_count() -> None:
    roster, asked = labelled("0-2047", "0-8191"), prompt(1000, max_tokens=2000)
    assert ContextLengthScorer(ContextLengthRule()).score(asked, roster)[0] == 1.0
    it = ContextLengthScorer(ContextLengthRule(with_answer=True))
    assert it.score(asked, roster) == pytest.approx([0.3 * 2047 / 3000, 1.0])
