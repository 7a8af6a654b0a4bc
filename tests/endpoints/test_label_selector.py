import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.label_selector import LabelSelectorFilter, LabelSelectorRule
from wayside.vocab.endpoint import Roster


def labelled(*labels) -> Roster:
    roster = servers(len(labels))
    for e, own in zip(roster.endpoints, labels, strict=True):
        e.labels = own
    return roster


ROSTER = labelled(
    {"app": "vllm", "zone": "a"}, {"app": "vllm", "zone": "b"}, {"app": "vllm"}, {"zone": "a"}
)


def expression(operator, *values, key="zone"):
    return {"match_expressions": [{"key": key, "operator": operator, "values": values}]}


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"match_labels": {"app": "vllm"}}, [0, 1, 2]),
        ({"match_labels": {"app": "vllm", "zone": "a"}}, [0]),
        (expression("In", "a", "c"), [0, 3]),
        (expression("NotIn", "a"), [1, 2]),
        (expression("Exists"), [0, 1, 3]),
        (expression("DoesNotExist"), [2]),
        ({"match_labels": {"app": "vllm"}, **expression("NotIn", "b")}, [0, 2]),
    ],
)
def test_all_that_is_asked_must_hold(settings, kept) -> None:
    assert LabelSelectorFilter(LabelSelectorRule(**settings)).keep(need(), ROSTER) == kept


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "everybody stays"),
        (expression("In"), "In needs values"),
        (expression("Exists", "a"), "did you mean In"),
        (expression("Like", "a"), "operator"),
    ],
)
def test_selectors_that_ask_nothing_or_too_much_are_refused(settings, why) -> None:
    with pytest.raises(ValueError, match=why):
        LabelSelectorRule(**settings)
