import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.label import LabelFilter, LabelRule
from wayside.vocab.endpoint import Roster


def labelled(*labels) -> Roster:
    roster = servers(len(labels))
    for e, own in zip(roster.endpoints, labels, strict=True):
        e.labels = own
    return roster


ROSTER = labelled({"gpu": "H100"}, {"gpu": "L4"}, {}, {"gpu": "H200"})


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"values": ["H100", "H200"]}, [0, 3]),
        ({"values": ["H100"], "absent": True}, [0, 2]),
        ({"absent": True}, [2]),
        ({"values": ["A100"]}, []),
    ],
)
def test_servers_with_one_of_the_values_stay(settings, kept) -> None:
    assert LabelFilter(LabelRule(label="gpu", **settings)).keep(need(), ROSTER) == kept


def test_a_rule_that_keeps_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="name values"):
        LabelRule(label="gpu")
