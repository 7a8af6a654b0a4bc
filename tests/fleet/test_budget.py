import pytest

from wayside.fleet.budget import Budget


@pytest.mark.parametrize("at", [9.99, 19.995, 100.0])
def test_a_request_just_before_the_window_turns_still_allows_its_attempt(at: float) -> None:
    budget = Budget(1.0, 0, 10.0)
    budget.request(at)
    assert budget.spend(at + 0.02)
    assert not budget.spend(at + 0.03)


def test_no_more_than_the_share() -> None:
    budget = Budget(0.2, 0, 10.0)
    for i in range(100):
        budget.request(i / 100)
    assert sum(budget.spend(1.0) for _ in range(100)) == 20
