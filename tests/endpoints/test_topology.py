import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.topology import HOST, REGION, ZONE, TopologyRule, TopologyScorer
from wayside.vocab.endpoint import Roster

MINE = {HOST: "n1", ZONE: "a", REGION: "eu"}


def places() -> Roster:
    roster = servers(5)
    for e, labels in zip(
        roster.endpoints,
        (
            MINE,
            {HOST: "n2", ZONE: "a", REGION: "eu"},
            {HOST: "n3", ZONE: "b", REGION: "eu"},
            {HOST: "n4", ZONE: "c", REGION: "us"},
            {},
        ),
        strict=True,
    ):
        e.labels = labels
    return roster


def dense(scores, size=5):
    return [scores.get(i, 0.0) for i in range(size)]


def test_the_nearer_the_better() -> None:
    it = TopologyScorer(TopologyRule(mine=MINE))
    assert it.steady
    assert dense(it.score(need(), places())) == pytest.approx([1.0, 0.2, 0.05, 0.0, 0.0])


def test_labels_and_what_they_are_worth_are_settings() -> None:
    it = TopologyScorer(TopologyRule(labels={"rack": 3, ZONE: 1}, mine={"rack": "r", ZONE: "b"}))
    roster = places()
    roster.endpoints[0].labels = {"rack": "r"}
    assert dense(it.score(need(), roster)) == pytest.approx([0.75, 0.0, 0.25, 0.0, 0.0])


def test_the_request_may_say_where_it_wants_to_go() -> None:
    it = TopologyScorer(TopologyRule(mine=MINE, header="X-Place"))
    roster = places()
    assert not it.steady
    asked = need(headers={"x-place": f"{REGION}=us, {ZONE}=c,nothing,{HOST}"})
    assert dense(it.score(asked, roster)) == pytest.approx([0.0, 0.0, 0.0, 0.2, 0.0])
    assert dense(it.score(need(), roster)) == pytest.approx([1.0, 0.2, 0.05, 0.0, 0.0])


@pytest.mark.parametrize(
    ("settings", "why"), [({}, "say where the router is"), ({"mine": {"rak": "1"}}, "rak")]
)
def test_a_place_that_nobody_could_share_is_refused(settings, why) -> None:
    with pytest.raises(ValueError, match=why):
        TopologyRule(**settings)
