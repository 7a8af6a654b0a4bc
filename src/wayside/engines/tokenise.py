"""Text as the numbers a model reads, with the way back to characters.

Reads a ``tokenizer.json`` with the `tokenizers` library (Rust, 12 MB); transformers is not
needed. Texts of any length and content are taken: a half surrogate, which is no character,
becomes U+FFFD in its place, and of a text far longer than the windows can hold only pieces are
tokenised, so the time is bounded too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wayside.engines.windows import Window, shares, spread, windows
from wayside.vocab.errors import AskFailed

CHARACTERS_PER_TOKEN = 8
"""A text of more characters than this for every token its windows can hold is read in pieces.
Prose has 3 to 5; code and base64 fewer."""
_HALF = re.compile("[\ud800-\udfff]")

Part = tuple[list[int], list[Window]]
"""Token numbers, and for each the characters ``start`` to ``end`` of the whole text."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """What the model is given at once: one window, with special tokens around it."""

    ids: list[int]
    types: list[int]
    """The segment of each token, for models that want ``token_type_ids``."""
    first: int
    """Where in ``ids`` the text's own tokens begin."""
    offsets: list[Window]
    """For each of its own tokens, the characters of the whole text."""
    share: Window
    """Which of its own tokens, counted from the first of them, this piece answers for."""


class Tokeniser:
    """A ``tokenizer.json`` and the limits of one model. Safe to use from several threads."""

    def __init__(self, path: Path, *, size: int, overlap: int, most: int) -> None:
        """``size`` is the tokens of a window, special ones too; ``most`` the windows of a text.

        `ImportError` names the extra to install; `ValueError` says what is wrong with the file.
        """
        self._tokenizer = _read(path)
        self._most = most
        self._single = _Frame(self._tokenizer.encode("a"))
        self._pair = _Frame(self._tokenizer.encode("a", "a"))
        self._room, self._pair_room = size - self._single.extra, size - self._pair.extra
        if self._room < 1:
            raise ValueError(f"max_tokens {size} leaves no room beside the special tokens")
        self._overlap = overlap

    def pieces(self, text: str, context: str = "") -> list[Piece]:
        """The windows of ``text`` in its order; with a context, each behind a window of that.

        Text and context share a window, ``[CLS] context [SEP] text [SEP]`` in BERT's words. The
        text gets half of it, or more where the context is short. There are as many pieces as
        pairs of their windows, but no more than ``most``.
        """
        if not context:
            parts = self._windows(self._parts(text, self._room), self._room, self._most)
            return [self._single.piece((), part, share) for part, share in parts]
        room = self._pair_room
        if room < 2:
            raise AskFailed("the model's windows are too small for a text and a context")
        first = self._parts(context, room)
        half = max(room // 2, room - sum(len(ids) for ids, _ in first))
        most = max(1, int(self._most**0.5))
        texts = self._windows(self._parts(text, room), half, most)
        left = room - max(len(ids) for (ids, _), _ in texts)
        contexts = self._windows(first, left, max(1, self._most // len(texts)))
        return [
            self._pair.piece(before, part, share)
            for part, share in texts
            for (before, _), _ in contexts
        ]

    def _parts(self, text: str, room: int) -> list[Part]:
        """The text's tokens; of one too long, those of some stretches of it."""
        parts: list[Part] = []
        most = room * self._most * CHARACTERS_PER_TOKEN
        for at, stretch in _stretches(_HALF.sub("\ufffd", text), most, self._most):
            encoded = self._tokenizer.encode(stretch, add_special_tokens=False)
            parts.append((encoded.ids, [(at + start, at + end) for start, end in encoded.offsets]))
        return parts

    def _windows(self, parts: list[Part], room: int, most: int) -> list[tuple[Part, Window]]:
        """At most ``most`` windows of ``room`` tokens, each with the share it answers for."""
        if len(parts) > 1:
            parts = [parts[i] for i in spread(len(parts), most)]
            *others, (ids, offsets) = parts  # stretches hold more than a window: the end counts
            cut = [(ids[:room], offsets[:room]) for ids, offsets in others]
            cut.append((ids[-room:], offsets[-room:]))
            return [(part, (0, len(part[0]))) for part in cut]
        ((ids, offsets),) = parts
        found = windows(len(ids), room, min(self._overlap, (room - 1) // 2), most)
        return [
            ((ids[start:end], offsets[start:end]), (first - start, last - start))
            for (start, end), (first, last) in zip(found, shares(found), strict=True)
        ]


class _Frame:
    """The special tokens that stand before, between and after one or two texts, and segments."""

    def __init__(self, probe: Any) -> None:
        self._specials: list[tuple[list[int], list[int]]] = [([], [])]
        self._segments: list[int] = []
        inside: int | None = None
        for token, kind, text in zip(probe.ids, probe.type_ids, probe.sequence_ids, strict=True):
            if text is not None:
                if text != inside:
                    self._segments.append(kind)
                    self._specials.append(([], []))
            else:
                self._specials[-1][0].append(token)
                self._specials[-1][1].append(kind)
            inside = text
        self.extra = sum(len(ids) for ids, _ in self._specials)
        if not self._segments:
            raise ValueError("the tokenizer makes no token of the letter a")

    def piece(self, context: list[int] | tuple[()], part: Part, share: Window) -> Piece:
        own, offsets = part
        texts = [context, own] if len(self._segments) > 1 else [own]
        ids, types = list(self._specials[0][0]), list(self._specials[0][1])
        first = 0
        for text, segment, (after, kinds) in zip(
            texts, self._segments, self._specials[1:], strict=True
        ):
            first = len(ids)
            ids += text
            ids += after
            types += [segment] * len(text)
            types += kinds
        return Piece(ids, types, first, offsets, share)


def _stretches(text: str, limit: int, most: int) -> list[tuple[int, str]]:
    """The whole text, or, when it has more than ``limit`` characters, ``most`` stretches of it."""
    if len(text) <= limit:
        return [(0, text)]
    length = limit // most
    if most == 1:
        return [(0, text[:length])]
    last = len(text) - length
    starts = [last * i // (most - 1) for i in range(most)]
    return [(start, text[start : start + length]) for start in starts]


def _read(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError(
            "the 'tokenizers' package is not installed; pip install 'wayside[onnx]'"
        ) from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # its errors are bare Exceptions
        raise ValueError(f"{path} is not a tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
