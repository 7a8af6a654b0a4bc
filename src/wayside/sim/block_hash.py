"""The names vLLM gives to blocks of its KV cache, as its events tell them.

This is vLLM's prefix caching hash `sha256_cbor`: a block's hash covers the hash of the block
before it, its token ids, and what else tells it apart (the adapter, the cache salt). The first
block follows the hash of the seed, which is PYTHONHASHSEED's value as text. Events carry the low
64 bits. Source: vLLM, vllm/v1/core/kv_cache_utils.py, 0.11.
"""

import os
from collections.abc import Sequence
from hashlib import sha256

from .cbor import encode_cbor


class BlockHasher:
    """Names blocks in a chain. Without a seed nobody else can know the names, as in vLLM."""

    def __init__(self, seed: str | None) -> None:
        self.root = os.urandom(32) if seed is None else sha256(encode_cbor(seed)).digest()

    def name(self, parent: bytes | None, tokens: Sequence[int], extra: Sequence[str]) -> bytes:
        """The 32-byte hash of a block; `parent` is the one before it, None for the first."""
        key = [parent or self.root, list(tokens), list(extra) or None]
        return sha256(encode_cbor(key)).digest()


def told_hash(name: bytes) -> int:
    """What an event calls that block: the low 64 bits, big-endian."""
    return int.from_bytes(name[-8:], "big")
