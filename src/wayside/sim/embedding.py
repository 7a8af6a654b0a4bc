"""Embeddings without a model: words hashed into a unit vector.

The same text always gives the same vector, and texts that share words point the same way (the
hashing trick: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009).
"""

import base64
import hashlib
import math
import re
import struct

_WORD = re.compile(r"\w+")
_PLACES = 4
"""Coordinates one word touches."""


def embed(text: str, dimensions: int) -> list[float]:
    """A unit vector of that many dimensions."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=_PLACES * 4).digest()
        for number in struct.unpack(f"<{_PLACES}I", digest):
            vector[(number >> 1) % dimensions] += 1.0 if number & 1 else -1.0
    length = math.sqrt(sum(x * x for x in vector))
    if not length:
        return [1.0, *vector[1:]]
    return [x / length for x in vector]


def pack_base64(vector: list[float]) -> str:
    """Little-endian 32-bit floats in base64, as `encoding_format: base64` has them."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
