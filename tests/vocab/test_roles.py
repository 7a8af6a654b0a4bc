import pytest

from wayside.vocab.roles import decodes, prefills


@pytest.mark.parametrize(
    ("role", "prefill", "decode"),
    [
        (None, False, True),
        ("", False, True),
        ("decode", False, True),
        ("prefill", True, False),
        ("both", True, True),
        ("prefill-decode", True, True),
        ("encode-prefill", True, False),
        ("encode-prefill-decode", True, True),
        ("encode", False, False),
        ("Decode ", False, True),
        ("cook", False, False),
    ],
)
def test_roles_are_llm_ds(role: str | None, prefill: bool, decode: bool) -> None:
    labels = {} if role is None else {"llm-d.ai/role": role}
    assert (prefills(labels), decodes(labels)) == (prefill, decode)


def test_the_label_may_be_another() -> None:
    assert prefills({"part": "prefill"}, "part") and not prefills({"part": "prefill"})
