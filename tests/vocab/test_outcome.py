"""What leaves the router never shows a key."""

from wayside.vocab.outcome import Credential, Target
from wayside.vocab.verdict import SignalRef


def test_a_credential_is_a_header_and_never_prints() -> None:
    credential = Credential("authorization", "Bearer ", "sk-secret")
    assert credential.pair() == ("authorization", "Bearer sk-secret")
    assert "sk-secret" not in repr(credential)
    target = Target(name="big", upstream_name="big", credential=credential)
    assert "sk-secret" not in repr(target)


def test_a_rotated_key_is_sent_from_then_on() -> None:
    credential = Credential("x-api-key", "", "old")
    credential.value = "new"
    assert credential.pair() == ("x-api-key", "new")


def test_a_signal_is_named_kind_and_name() -> None:
    assert str(SignalRef("domain", "math")) == "domain:math"
