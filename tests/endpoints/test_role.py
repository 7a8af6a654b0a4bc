import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.role import RoleFilter, RoleRule
from wayside.vocab.endpoint import Roster


def labelled(*labels) -> Roster:
    roster = servers(len(labels))
    for e, own in zip(roster.endpoints, labels, strict=True):
        e.labels = own
    return roster


SAID = (
    "decode",
    "prefill",
    "encode",
    "both",
    "prefill-decode",
    "encode-prefill",
    "encode-prefill-decode",
    "talker",
    None,
)
ROSTER = labelled(*[{"llm-d.ai/role": role} if role else {} for role in SAID])


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"role": "decode"}, [0, 3, 4, 6, 8]),
        ({"role": "prefill"}, [1, 3, 4, 5, 6]),
        ({"role": "encode"}, [2, 5, 6]),
        ({"role": "both"}, [3, 4, 6, 8]),
        ({"role": "encode-prefill"}, [5, 6]),
        ({"role": "decode", "unlabelled": False}, [0, 3, 4, 6]),
        ({"role": "prefill", "unlabelled": True}, [1, 3, 4, 5, 6, 8]),
        ({"role": "prefill", "label": "role"}, []),
    ],
)
def test_who_does_all_that_is_wanted_stays(settings, kept) -> None:
    assert RoleFilter(RoleRule(**settings)).keep(need(), ROSTER) == kept


def test_the_label_may_have_another_name() -> None:
    roster = labelled({"role": "prefill"}, {"role": "decode"})
    assert RoleFilter(RoleRule(role="prefill", label="role")).keep(need(), roster) == [0]
