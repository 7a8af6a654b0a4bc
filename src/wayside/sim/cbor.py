"""Canonical CBOR of the few shapes that name a block of a KV cache (RFC 8949, 4.2.1)."""

import struct
from collections.abc import Sequence

Value = int | str | bytes | None | Sequence["Value"]


def encode_cbor(value: Value) -> bytes:
    """`value` with every length and number in its shortest form.

    Whole numbers from 0 to 2^64-1, text, bytes, None, and lists or tuples of these; anything
    else raises TypeError or ValueError.
    """
    match value:
        case None:
            return b"\xf6"
        case bool():
            raise TypeError("no block is named by a truth value")
        case int():
            return _head(0, value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            text = value.encode()
            return _head(3, len(text)) + text
        case list() | tuple():
            return _head(4, len(value)) + b"".join(map(encode_cbor, value))
        case _:
            raise TypeError(f"cannot encode a {type(value).__name__}")


def _head(major: int, number: int) -> bytes:
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number} does not fit 64 bits")
    if number < 24:
        return bytes((major << 5 | number,))
    for bits, (size, form) in enumerate(((1, ">BB"), (2, ">BH"), (4, ">BI"), (8, ">BQ"))):
        if number < 1 << 8 * size:
            return struct.pack(form, major << 5 | 24 + bits, number)
    raise AssertionError("unreachable")
