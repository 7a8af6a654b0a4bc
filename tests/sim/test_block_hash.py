"""Blocks get the names that vLLM gives them."""

import json
from pathlib import Path

import pytest

from wayside.sim.block_hash import BlockHasher, told_hash
from wayside.sim.cbor import encode_cbor

TOLD = json.loads((Path(__file__).parent / "data" / "vllm_block_hashes.json").read_text())


def chain(seed, extra):
    hasher, name, out = BlockHasher(seed), None, []
    size = TOLD["block_size"]
    for start in range(0, len(TOLD["tokens"]), size):
        name = hasher.name(name, TOLD["tokens"][start : start + size], extra)
        out.append(told_hash(name))
    return out


@pytest.mark.parametrize(
    ("extra", "hashes"), [([], TOLD["hashes"]), ([TOLD["adapter"]], TOLD["adapter_hashes"])]
)
def test_the_hashes_are_those_that_vllm_told(extra, hashes):
    assert len(hashes) == 25
    assert chain(TOLD["seed"], extra) == hashes


def test_without_a_seed_nobody_can_know_them():
    assert chain(None, []) != chain(None, [])
    assert chain("43", []) != TOLD["hashes"]


@pytest.mark.parametrize(
    ("value", "encoded"),  # RFC 8949, appendix A
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (100, "1864"),
        (1000, "1903e8"),
        (1000000, "1a000f4240"),
        (1000000000000, "1b000000e8d4a51000"),
        (18446744073709551615, "1bffffffffffffffff"),
        (None, "f6"),
        (b"\x01\x02\x03\x04", "4401020304"),
        ("", "60"),
        ("IETF", "6449455446"),
        ("\u6c34", "63e6b0b4"),
        ([], "80"),
        ([1, [2, 3], (4, 5)], "8301820203820405"),
        (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
    ],
)
def test_cbor_is_canonical(value, encoded):
    assert encode_cbor(value).hex() == encoded


@pytest.mark.parametrize("value", [-1, 2**64, True, 1.5, {}])
def test_cbor_refuses_what_names_no_block(value):
    with pytest.raises((TypeError, ValueError)):
        encode_cbor(value)
