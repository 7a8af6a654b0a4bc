"""Tokens without a tokenizer: every four characters are one, the last may be shorter.

The same rule counts prompts and answers, and cuts an answer into the pieces a stream sends, so
`usage`, `max_tokens` and the number of streamed pieces always agree with one another. Each token
has an id, the same everywhere and always, because KV events and /tokenize speak of ids.
"""

import struct
import zlib
from collections.abc import Iterable

CHARACTERS_PER_TOKEN = 4
_HASHED = 0x80
"""Set in the lowest byte of an id that is a hash; no id that spells ASCII has it."""
_NOT_ASCII = 0x80808080


def count_tokens(text: str) -> int:
    """Estimated tokens in `text`; 0 only for the empty text."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def cut_tokens(text: str, limit: int) -> str:
    """The first `limit` tokens of `text`."""
    return text[: limit * CHARACTERS_PER_TOKEN]


def split_tokens(text: str) -> list[str]:
    """The tokens of `text`, in order; joined they are `text` again."""
    step = CHARACTERS_PER_TOKEN
    return [text[i : i + step] for i in range(0, len(text), step)]


def token_ids(text: str) -> tuple[int, ...]:
    """The id of each token, in 0..2^31-1.

    Four ASCII characters are their own id: their bytes as a little-endian number, which is also
    what llm-d's picker assumes of a model whose tokenizer it does not have. Any other piece is
    the CRC-32 of its UTF-8 bytes, marked so that it is no ASCII piece's id.
    """
    if not text.isascii():
        return tuple(_id(piece) for piece in split_tokens(text))
    data = text.encode("ascii")
    data += bytes(-len(data) % CHARACTERS_PER_TOKEN)
    return struct.unpack(f"<{len(data) // CHARACTERS_PER_TOKEN}I", data)


def token_text(ids: Iterable[int]) -> str:
    """What these ids spell; U+FFFD for each one that is the hash of other than ASCII."""
    return "".join(
        "\ufffd" if number & _NOT_ASCII else number.to_bytes(4, "little").rstrip(b"\0").decode()
        for number in ids
    )


def _id(piece: str) -> int:
    if piece.isascii():
        return int.from_bytes(piece.encode("ascii"), "little")
    return zlib.crc32(piece.encode("utf-8", "surrogatepass")) & 0x7FFFFFFF | _HASHED
