"""How like its example texts a prompt is, from the cosines that an embedder gives.

Rules of a kind share their examples: every text is embedded once and every prompt is compared
once, however many rules name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from wayside.vocab.ask import Bank, Failure, Flow, Similar, ask_each
from wayside.vocab.verdict import Verdict

Cosines = Sequence[float]
"""Of one text to every text of a bank, -1..1."""
Places = tuple[int, ...]
"""Where some texts stand in a bank."""

BEST_WEIGHT = 0.75
"""What the best example counts; the rest is the mean of the best two (spec: vSR's ``top_m`` 2)."""
_SHOWN = 60


class Examples:
    """The example texts of several rules, by the embedder that is to compare them."""

    def __init__(self) -> None:
        self._texts: dict[str, dict[str, int]] = {}
        self._banks: dict[str, Bank] = {}

    def add(self, texts: Iterable[str], engine: str) -> Places:
        """Where ``texts`` stand in the bank of ``engine``, each once."""
        held = self._texts.setdefault(engine, {})
        return tuple(dict.fromkeys(held.setdefault(text, len(held)) for text in texts))

    def banks(self) -> dict[str, Bank]:
        """One bank an engine; called when every rule has added its texts."""
        return {engine: Bank(tuple(held), engine) for engine, held in self._texts.items()}


def compare(text: str, banks: Mapping[str, Bank]) -> Flow[dict[str, Cosines | Failure]]:
    """The cosines of ``text`` to every bank, in one batch; raises if no engine answers."""
    found = yield from ask_each({engine: Similar(text, bank) for engine, bank in banks.items()})
    return dict(found)


def prototype(cosines: Cosines, places: Places) -> float:
    """.75 of the best cosine and .25 of the mean of the best two.

    vSR first merges examples whose cosine is .9 or more into one prototype. Where the two best
    examples of a prompt say nearly the same, its second score is that of another one: lower than
    ours by an eighth of the difference between the second and the third.
    """
    top = sorted([cosines[i] for i in places], reverse=True)[:2]
    return BEST_WEIGHT * top[0] + (1 - BEST_WEIGHT) * sum(top) / len(top)


def best(cosines: Cosines, places: Places) -> int:
    """The place of the most similar of the examples at ``places``."""
    return max(places, key=lambda i: cosines[i])


def share(score: float) -> float:
    """A score as a confidence, 0..1."""
    return min(1.0, max(0.0, score))


def unknown(failure: Failure) -> Verdict:
    """What a rule says whose engine did not answer while another did."""
    return Verdict(False, 0.0, shown(failure.reason, 200), unknown=True)


def shown(text: str, most: int = _SHOWN) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
