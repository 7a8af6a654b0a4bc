from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.endpoints.rig import servers
from wayside.vocab.endpoint import Roster
from wayside.vocab.slots import Slots, slots_in


@given(st.integers(0, 2**600))
def test_slots_are_the_bits_that_are_set(mask: int) -> None:
    found = list(slots_in(mask))
    assert sum(1 << slot for slot in found) == mask and found == sorted(found)


@pytest.mark.parametrize("mask", [0, 1, 2**511, 2**512 - 1])
def test_ends_of_it(mask) -> None:
    assert len(list(slots_in(mask))) == mask.bit_count()


def test_a_view_says_where_servers_stand_in_a_roster() -> None:
    slots, everybody = Slots(), servers(4)
    slots.view(everybody)
    some = Roster((everybody.endpoints[3], everybody.endpoints[1]))
    view = slots.view(some)
    assert view.mask == 0b1010 and list(view.of(0b1010)) == [1, 0]


def test_a_number_that_is_free_again_goes_to_the_next() -> None:
    slots, everybody = Slots(), servers(3)
    before = slots.view(everybody)
    slots.free(everybody.endpoints[1])
    assert len(slots) == 2
    (another,) = servers(1).endpoints
    assert slots.slot(another) == 1
    after = slots.view(everybody)
    assert after is not before and after.mask == 0b1101, "and the one that lost it gets another"
