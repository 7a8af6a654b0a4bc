"""How well a recogniser finds personal data, by type, on any file of spans.

    python corpora/pii/evaluate.py corpora/pii/heldout.jsonl
    python corpora/pii/evaluate.py ../shared/data/labelled/pii_spans.jsonl --misses CREDIT_CARD
    python corpora/pii/evaluate.py --benign corpora/pii/benign.jsonl

A row is `{"text": ..., "spans": [[start, end, type], ...]}`. *Exact* means the same characters and
the same type. *Overlap* means the same type and at least one character in common.
"""

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wayside.engines.pii import PiiRecogniser
from wayside.vocab.personal import IDENTIFYING, PII_TYPES

Row = dict[str, Any]
Marked = tuple[int, int, str]


class Score(NamedTuple):
    """Counts of one type: spans expected, found, and of those found and right."""

    expected: int
    found: int
    exact: int
    recalled: int
    """Expected spans that a found one overlaps."""
    right: int
    """Found spans that overlap an expected one."""

    def figures(self) -> tuple[float, float, float, float]:
        """Recall and precision by overlap, then exact."""
        return (
            self.recalled / max(1, self.expected),
            self.right / max(1, self.found),
            self.exact / max(1, self.expected),
            self.exact / max(1, self.found),
        )


_MARKED = re.compile(r"\{([A-Z_]+)=([^}]+)\}")


def read(path: Path) -> list[Row]:
    """The rows of a JSON lines file, or of a `.txt` with `{TYPE=value}` and `\\n` in its lines."""
    lines = [line for line in path.read_text("utf-8").split("\n") if line]
    return [marked(line) if path.suffix == ".txt" else json.loads(line) for line in lines]


def marked(line: str) -> Row:
    """A line with its marks taken out, and where they were."""
    text, spans, at = "", [], 0
    line = line.replace(r"\n", "\n")
    for mark in _MARKED.finditer(line):
        text += line[at : mark.start()]
        spans.append([len(text), len(text) + len(mark[2]), mark[1]])
        text += mark[2]
        at = mark.end()
    return {"text": text + line[at:], "spans": spans}


def found_in(recogniser: PiiRecogniser, text: str, threshold: float) -> list[Marked]:
    return [(s.start, s.end, s.label) for s in recogniser.spans(text) if s.score >= threshold]


def evaluate(
    rows: Iterable[Row], recogniser: PiiRecogniser, threshold: float
) -> tuple[dict[str, Score], dict[str, list[str]]]:
    """Scores by type, and lines that show what was missed and what was wrong, by type."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    lines: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        text = row["text"]
        expected = [tuple(span) for span in row["spans"]]
        found = found_in(recogniser, text, threshold)
        for start, end, label in expected:
            count = counts[label]
            count["expected"] += 1
            if _overlaps((start, end, label), found):
                count["recalled"] += 1
            else:
                lines[label].append(f"missed {text[start:end]!r} in {_around(text, start, end)}")
        for span in found:
            count = counts[span[2]]
            count["found"] += 1
            count["exact"] += span in expected
            if _overlaps(span, expected):
                count["right"] += 1
            else:
                start, end, label = span
                lines[label].append(f"wrong  {text[start:end]!r} in {_around(text, start, end)}")
    scores = {label: Score(*[c[name] for name in Score._fields]) for label, c in counts.items()}
    return scores, lines


def _overlaps(span: Marked, others: Sequence[Any]) -> bool:
    start, end, label = span
    return any(o[2] == label and o[0] < end and start < o[1] for o in others)


def _around(text: str, start: int, end: int) -> str:
    return repr(text[max(0, start - 50) : end + 30])


def table(scores: dict[str, Score]) -> str:
    """A Markdown table, one type a line."""
    lines = [
        "| type | spans | recall | precision | exact recall | exact precision |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for label in sorted(scores):
        score = scores[label]
        shown = [f"{figure:.3f}" for figure in score.figures()]
        if not score.expected:
            shown = ["", f"0 of {score.found}", "", ""]
        elif not score.found:
            shown[1] = shown[3] = ""
        lines.append(f"| {label} | {score.expected} | {' | '.join(shown)} |")
    return "\n".join(lines)


def together(scores: dict[str, Score], labels: Iterable[str]) -> Score:
    """The scores of several types as one."""
    chosen = [scores[label] for label in labels if label in scores]
    return (
        Score(*[sum(column) for column in zip(*chosen, strict=True)])
        if chosen
        else Score(*[0] * 5)
    )


def false_alarms(
    rows: Sequence[Row], recogniser: PiiRecogniser, threshold: float, types: Iterable[str]
) -> tuple[int, list[str]]:
    """In how many texts without personal data something of ``types`` is found, and what."""
    wanted = frozenset(types)
    lines, alarmed = [], 0
    for row in rows:
        marked = [m for m in found_in(recogniser, row["text"], threshold) if m[2] in wanted]
        alarmed += bool(marked)
        lines += [f"{m[2]} {row['text'][m[0] : m[1]]!r} in {row['text'][:90]!r}" for m in marked]
    return alarmed, lines


NO_FORM = frozenset({"GPE", "NRP", "ORGANIZATION", "PERSON", "STREET_ADDRESS", "TITLE"})
"""Types that are words: no pattern knows them all."""
PATTERN_TYPES = frozenset(PII_TYPES) - NO_FORM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--misses", metavar="TYPE", help="show what was missed and wrong")
    parser.add_argument("--benign", action="store_true", help="the files hold no personal data")
    args = parser.parse_args()
    recogniser = PiiRecogniser()
    for file in args.files:
        rows = read(file)
        if args.benign:
            alarmed, lines = false_alarms(rows, recogniser, args.threshold, IDENTIFYING)
            print("\n".join(lines))
            print(f"{file}: {alarmed} of {len(rows)} texts raise a false alarm")
            continue
        scores, lines_by_type = evaluate(rows, recogniser, args.threshold)
        recall, precision, *_ = together(scores, PATTERN_TYPES).figures()
        print(f"{file}: {len(rows)} texts, threshold {args.threshold}\n\n{table(scores)}\n")
        print(f"types with a form: recall {recall:.3f}, precision {precision:.3f}\n")
        if args.misses:
            print("\n".join(lines_by_type[args.misses]))


if __name__ == "__main__":
    main()
