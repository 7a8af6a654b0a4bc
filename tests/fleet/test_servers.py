from wayside.fleet import Fleet
from wayside.fleet.servers import servers_of
from wayside.settings import ModelSettings
from wayside.vocab.endpoint import Vitals


def test_the_best_that_a_request_would_find() -> None:
    endpoints = ["http://a", "http://b", "http://c"]
    fleet = Fleet({"m": ModelSettings.model_validate({"endpoints": endpoints})})
    pool = fleet.pools["m"]
    assert servers_of(pool) == (3, None, None)
    a, b, c = pool.replicas
    a.vitals = Vitals(at=1.0, waiting=5, kv=0.2)
    b.vitals = Vitals(at=1.0, waiting=2, kv=0.9)
    assert servers_of(pool) == (3, 2, 0.2)
    a.leave(10.0, "failures")
    pool.pick(10.0, lambda: 0.0)
    pool._review_at = 0.0
    pool.pick(10.0, lambda: 0.0)
    assert servers_of(pool) == (2, 2, 0.9)
    assert c.vitals.at < 0 and servers_of(None) is None
