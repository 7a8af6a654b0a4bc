import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.context_fits import ContextFitsFilter, ContextFitsRule
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
    ("tokens", "settings", "kept"),
    [
        (100, {}, [0, 1, 3]),
        (2049, {}, [1, 3]),
        (10_000, {}, [2, 3]),
        (10_000, {"unlabelled": False}, [2]),
        (50_000, {"unlabelled": False}, []),
    ],
)
def test_who_takes_that_length_stays(tokens, settings, kept) -> None:
    roster = labelled("0-2048", "0-8192", "8193-16384", None)
    assert ContextFitsFilter(ContextFitsRule(**settings)).keep(prompt(tokens), roster) == kept


def test_all_stay_where_all_fit() -> None:
    it = ContextFitsFilter(ContextFitsRule())
    assert it.keep(prompt(10), labelled("0-100", "0-200")) is None


def test_the_answer_may_count() -> None:
    it = ContextFitsFilter(ContextFitsRule(with_answer=True))
    assert it.keep(prompt(60, max_tokens=50), labelled("0-100", "0-200")) == [1]
