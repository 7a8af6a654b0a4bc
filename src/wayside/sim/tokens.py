"""Counting tokens without a tokenizer: one for every four characters, rounded up.

The same rule counts prompts and answers, and cuts an answer into the pieces a stream sends, so
`usage`, `max_tokens` and the number of streamed pieces always agree with one another.
"""

CHARACTERS_PER_TOKEN = 4


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
