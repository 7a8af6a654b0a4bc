"""A3-05, A3-13, A3-16: servers are told apart by their GPUs, and by their own load where no
exporter tells."""

import pytest

from tests.endpoints.rig import need, servers
from wayside.catalog import catalog
from wayside.endpoints import Profile
from wayside.endpoints.gpu_load import GpuLoadRule, GpuLoadScorer
from wayside.endpoints.max_score import MaxScorePicker, MaxScoreRule
from wayside.fleet.picking import profile
from wayside.settings import PickingSettings
from wayside.vocab.endpoint import Roster

HEADERS = (("x-wayside-gpu-load", "degraded"),)


def gpus(*used, memory=None, at=0.0, **vitals) -> Roster:
    extra = {"gpu_memory": memory} if memory else {}
    return servers(len(used), gpu=used, gpu_at=[at] * len(used), **extra, **vitals)


def test_the_less_loaded_gpu_is_preferred() -> None:
    it, roster = GpuLoadScorer(GpuLoadRule(in_flight=0)), gpus(0.9, 0.2, 0.5)
    assert it.score(need(), roster) == pytest.approx([0.1, 0.8, 0.5])
    assert not it.degraded
    picked = Profile([], [(it, 1.0)], MaxScorePicker(MaxScoreRule())).pick(need(), roster)
    assert [e.name for e in picked] == ["b"]


def test_memory_weighs_too() -> None:
    it = GpuLoadScorer(GpuLoadRule(utilization=0.75, memory=0.25, in_flight=0))
    roster = gpus(0.4, 0.4, memory=[0.2, 1.0])
    assert it.score(need(), roster) == pytest.approx([0.65, 0.45])
    roster = gpus(0.4, 0.4)  # an exporter that says nothing of memory
    assert it.score(need(), roster) == pytest.approx([0.6, 0.6])


def test_requests_in_flight_weigh_between_two_readings() -> None:
    it, roster = GpuLoadScorer(GpuLoadRule(utilization=0.6, memory=0.1)), gpus(0.5, 0.6)
    assert it.score(need(), roster)[0] > it.score(need(), roster)[1]
    roster.endpoints[0].in_flight = 3
    a, b = it.score(need(), roster)
    assert (a, b) == pytest.approx((0.3 + 0.7 * 0.5 - 0.3, 0.3 + 0.7 * 0.4))


def test_without_an_exporter_servers_own_load_decides_and_is_said_so() -> None:
    it = GpuLoadScorer(GpuLoadRule(in_flight=0))
    roster, asked = servers(3, kv=[0.9, 0.3, 0.0], waiting=[6, 3, 0], running=[8, 4, 0]), need()
    assert it.score(asked, roster) == pytest.approx([0.1 / 3, 0.5 * 2 / 3 + 0.7 / 3, 1.0])
    assert it.degraded and it.says(asked, roster.endpoints[0]) == HEADERS


@pytest.mark.parametrize("age", [29.0, 31.0])
def test_readings_that_are_too_old_are_as_none(age) -> None:
    it = GpuLoadScorer(GpuLoadRule(in_flight=0, max_age_s=30))
    roster = gpus(0.1, 0.9, at=100.0, waiting=[8, 0])
    asked = need(now=100.0 + age)
    a, b = it.score(asked, roster)
    assert (a > b) == (age < 30) == (not it.degraded)
    assert bool(it.says(asked, roster.endpoints[0])) == (age > 30)


def test_one_reading_that_is_missing_makes_nobody_look_idle() -> None:
    it, roster = GpuLoadScorer(GpuLoadRule(in_flight=0)), gpus(0.1, None, waiting=[0, 8])
    a, b = it.score(need(), roster)
    assert it.degraded and a > b


def test_it_is_no_longer_degraded_when_readings_are_back() -> None:
    it = GpuLoadScorer(GpuLoadRule())
    it.score(need(), gpus(None, 0.5))
    asked, roster = need(), gpus(0.4, 0.5)
    it.score(asked, roster)
    assert not it.degraded and it.says(asked, roster.endpoints[0]) == ()


def test_it_is_a_strategy_by_the_name_that_gateways_know() -> None:
    kind = catalog.get("scorer", "gpu-load-aware")
    assert kind is not None and kind.name == "gpu_load"
    chooser = profile(PickingSettings.model_validate("gpu-load-aware"))
    assert chooser.reads == {"gpu", "vitals"}
    assert chooser.pick(need(), gpus(0.9, 0.2))[0].name == "b"


def test_weights_that_leave_no_gpu_are_refused() -> None:
    with pytest.raises(ValueError, match="active_requests"):
        GpuLoadRule(utilization=0, memory=0)
