# ruff: noqa: E501 -- the tables of the card are as wide as they are
"""Trains the built-in jailbreak detectors, and writes their files and their model card.

    python scripts/train_jailbreak.py --data ../shared/data/labelled

Rows come from `corpora/jailbreak/` and `corpora/domain/` (ours) and, where `--data` has them, the
public sets named in the card. Every public source is left out once: the figures of the card, and
the calibration, are those of models that saw nothing of it. The shipped model then has them all.
`--quick --out FOLDER` trains that one alone, in a tenth of the time, with the calibration of the
built-in one, and measures nothing: to try something out, never to ship.
"""

import argparse
import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from wayside.engines import jailbreak, jailbreak_train
from wayside.engines.attack_structure import NAMES, Shapes
from wayside.engines.jailbreak import BENIGN, AttackDetector, AttackModel
from wayside.engines.jailbreak_train import Bag, Floats, Learnt, Recipe, Row

ROOT = Path(__file__).parents[1]
CORPORA = ROOT / "corpora"
WEIGHTS = ROOT / "src" / "wayside" / "engines" / "weights"
CARD = ROOT / "docs" / "reference" / "models" / "jailbreak.md"
KINDS = ("jailbreak", "harmful")
SHARED_LABELS = {0: BENIGN, 1: "jailbreak", 2: "harmful"}
ATTACKS = ("verazuo", "gptfuzz")  # both collected from the same forums: left out together
FOLDS = (
    frozenset({*ATTACKS, "gpteacher-roleplay", "counsel-chat"}),
    frozenset({*ATTACKS, "halueval", "banking77", "clinc-train", "gsm8k-train", "mmlu"}),
    frozenset({"advbench", "strongreject"}),
    frozenset({"harmbench"}),
)
THRESHOLD = 0.5
QUOTED = "quoted_attacks"
CLEAN = "held out, third"
EXAMS = 3_000
EVERYDAY = 4_000


@dataclass(frozen=True)
class Figures:
    """Of attacks against innocent texts: how often right at how many false alarms."""

    name: str
    attacks: int
    innocent: int
    auc: float
    at_1: float  # recall at 1 % false positives
    at_01: float  # at 0.1 %
    recall: float  # at the default threshold
    alarms: float  # false positives at the default threshold

    def line(self) -> str:
        return (
            f"| {self.name} | {self.attacks} / {self.innocent} | {self.auc:.3f} | {self.at_1:.3f} "
            f"| {self.at_01:.3f} | {self.recall:.3f} | {self.alarms:.4f} |"
        )


def main() -> None:
    args = arguments()
    random.seed(args.seed)
    recipe = Recipe(seed=args.seed)
    rows = own_rows() + shared_rows(args.data)
    shapes = Shapes()
    print(f"reading {len(rows)} rows", flush=True)
    bags = [jailbreak_train.bag(row.text, shapes) for row in rows]
    if args.quick:
        built_in = jailbreak.read(WEIGHTS / "jailbreak.model")
        learnt = jailbreak_train.train(bags, rows, KINDS, recipe, print)
        quick = jailbreak_train.quantise(
            learnt, built_in.slopes, built_in.offsets, {"seed": recipe.seed, "quick": True}
        )
        jailbreak.write(args.out / "jailbreak.model", quick)
        return

    held = [
        *read_rows("jailbreak/heldout.jsonl", "held out, first", part="prompt", turn=1),
        *read_rows("jailbreak/heldout.jsonl", "held out, second", part="prompt", turn=2),
        *read_rows("jailbreak/heldout3.jsonl", CLEAN, part="prompt", turn=3),
    ]
    unseen = read_rows("domain/heldout.jsonl", "everyday, held out", label=BENIGN)
    exams = exam_rows(args.data / "domain_dev.jsonl", "exam, tuning", None)
    quoting = [
        replace(row, source="questions that quote an attack")
        for row in read_rows("jailbreak/templated.jsonl", "own")
        if row.family == QUOTED
    ]
    tests = held + unseen + exams + quoting
    test_bags = [jailbreak_train.bag(row.text, shapes) for row in tests]

    sources = {row.source for row in rows}
    folds = [fold & sources for fold in FOLDS if fold & sources]
    found: list[tuple[Learnt, dict[str, Floats]]] = []
    for fold in folds:
        print(f"left out: {', '.join(sorted(fold))}", flush=True)
        found.append(jailbreak_train.left_out(bags, rows, KINDS, fold, recipe))
    slopes, offsets = calibrated(found) if folds else ((1.0, 1.0), (0.0, 0.0))
    print(f"slopes {slopes}, offsets {offsets}")

    print("the model itself", flush=True)
    began = perf_counter()
    learnt = jailbreak_train.train(bags, rows, KINDS, recipe, print)
    facts = {
        "rows": dict(sorted(Counter(row.source for row in rows).items())),
        "seed": recipe.seed,
        "shapes": len(NAMES),
        "seconds": round(perf_counter() - began),
    }
    model = jailbreak_train.quantise(learnt, slopes, offsets, facts)
    jailbreak.write(args.out / "jailbreak.model", model)

    answers = response_rows()
    answer_model, answer_lines = response_model(answers, shapes, recipe)
    jailbreak.write(args.out / "jailbreak_response.model", answer_model)

    report = Report(slopes, offsets)
    for (one, scored), fold in zip(found, folds, strict=True):
        report.fold(one, scored, fold, [row for row in rows if row.source in fold])
    if folds:
        own = own_only(bags, rows, recipe)
        report.own(*own, rows)
    report.tests(learnt, tests, test_bags)
    if found:
        report.survival(found[0][0], model, rows, held, args.seed)
    report.costs(AttackDetector(model))
    text = CARD_TEXT.format(
        **report.parts(),
        answers="\n".join(answer_lines),
        counts="\n".join(
            f"| {label} | {source} | {count} |"
            for (label, source), count in sorted(
                Counter((row.label, row.source) for row in rows).items()
            )
        ),
        slopes=", ".join(f"{x:.2f}" for x in slopes),
        offsets=", ".join(f"{x:.2f}" for x in offsets),
        megabytes=(args.out / "jailbreak.model").stat().st_size / 1e6,
        answer_megabytes=(args.out / "jailbreak_response.model").stat().st_size / 1e6,
        features=int((model.weights != 0).any(axis=1).sum()),
        shapes=len(NAMES),
        **{name: getattr(recipe, name) for name in ("rounds", "epochs", "dropout", "seed")},
    )
    if args.card:
        args.card.write_text(text, "utf-8")
    print(text.partition("## How it works")[0])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the built-in jailbreak detectors.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/labelled")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder of the two models")
    parser.add_argument("--card", type=Path, default=CARD)
    parser.add_argument("--seed", type=int, default=Recipe().seed)
    parser.add_argument(
        "--quick", action="store_true", help="train one model only; needs an --out of its own"
    )
    args = parser.parse_args()
    if args.quick and args.out.resolve() == WEIGHTS.resolve():
        parser.error("--quick measures nothing, so it must not replace the built-in weights: "
                     "give it another folder, --out /tmp")  # fmt: skip
    return args


def read_json(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        print(f"without {path}: no such file")
        return []
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def read_rows(file: str, source: str, label: str = "", part: str = "", turn: int = 0) -> list[Row]:
    return [
        Row(
            str(one["text"]),
            label or str(one["label"]),
            source,
            str(one.get("lang", "en")),
            str(one.get("family", "")),
        )
        for one in read_json(CORPORA / file)
        if (not part or one.get("part") == part) and (not turn or one.get("round") == turn)
    ]


def own_rows() -> list[Row]:
    everyday = read_rows("domain/templated.jsonl", "own, everyday", label=BENIGN)
    random.Random(1).shuffle(everyday)
    # A question that quotes an attack holds the very stretch that makes others an attack: learnt as
    # innocent, "ignore previous instructions" alone became innocent too
    jailbreaks = read_rows("jailbreak/templated.jsonl", "own")
    return [
        *[row for row in jailbreaks if row.family != QUOTED],
        *everyday[:EVERYDAY],
        *read_rows("domain/handwritten.jsonl", "own, everyday", label=BENIGN),
    ]


def shared_rows(data: Path) -> list[Row]:
    labelled = [
        Row(str(one["text"]), SHARED_LABELS[int(str(one["label"]))], str(one["source"]))
        for one in read_json(data / "jailbreak.jsonl")
    ]
    everyday = [
        Row(str(one["text"]), BENIGN, str(one["source"]))
        for one in read_json(data / "domain_extra.jsonl")
    ]
    return labelled + everyday + exam_rows(data / "domain_train.jsonl", "mmlu", EXAMS)


def exam_rows(path: Path, source: str, most: int | None) -> list[Row]:
    rows = [Row(str(one["text"]), BENIGN, source) for one in read_json(path)]
    random.Random(2).shuffle(rows)
    return rows[:most]


def response_rows() -> list[Row]:
    """Answers of the corpus, and innocent prose as more innocent answers."""
    answers = read_rows("jailbreak/responses.jsonl", "own")
    prose = read_rows("jailbreak/templated.jsonl", "own, prose")
    return answers + [row for row in prose if row.family.startswith("prose_")]


def calibrated(
    found: list[tuple[Learnt, dict[str, Floats]]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fitted to the scores that rows got from models which saw nothing of their source."""
    parts, answers, weights = [], [], []
    for _, by_source in found:
        for source, scored in by_source.items():
            kind = source_kind(source)
            parts.append(scored)
            answers += [kind] * len(scored)
            weights += [CLASS_WEIGHT[kind] / len(scored)] * len(scored)
    slopes, offsets = jailbreak_train.calibrate(
        np.concatenate(parts), np.array(answers), np.array(weights, np.float32)
    )
    # The default threshold is to flag at most 1 % of any innocent source
    highest = max(
        float(np.quantile(scored[:, 0], 0.99, method="higher"))
        for _, by_source in found
        for source, scored in by_source.items()
        if source_kind(source) == 2
    )
    print(f"offset as calibrated {offsets[0]:.3f}, as 1 % wants {-slopes[0] * highest:.3f}")
    return slopes, (min(offsets[0], -slopes[0] * highest), *offsets[1:])


CLASS_WEIGHT = (1.0, 1.0, 2.0)  # a source of attacks, of harmful requests, of innocent texts


def source_kind(source: str) -> int:
    if source in ATTACKS:
        return 0
    return 1 if source in ("advbench", "harmbench", "strongreject") else 2


def own_only(bags: list[Bag], rows: list[Row], recipe: Recipe) -> tuple[Learnt, dict[str, Floats]]:
    everything = frozenset(row.source for row in rows if not row.source.startswith("own"))
    print("left out: every public source", flush=True)
    return jailbreak_train.left_out(bags, rows, KINDS, everything, recipe)


def response_model(
    rows: list[Row], shapes: Shapes, recipe: Recipe
) -> tuple[AttackModel, list[str]]:
    """Trained on all; calibrated and measured on quarters left out in turn."""
    print(f"{len(rows)} answers", flush=True)
    kinds = ("jailbreak",)
    bags = [jailbreak_train.bag(row.text, shapes) for row in rows]
    quarter = [i % 4 for i in random.Random(3).sample(range(len(rows)), len(rows))]
    scored = np.zeros((len(rows), 1), np.float32)
    for part in range(4):
        kept = [i for i in range(len(rows)) if quarter[i] != part]
        out = [i for i in range(len(rows)) if quarter[i] == part]
        one = jailbreak_train.train(
            [bags[i] for i in kept], [rows[i] for i in kept], kinds, recipe
        )
        scored[out] = jailbreak_train.scores(one, [bags[i] for i in out])
    answers = np.array([jailbreak_train.answer_of(row, kinds) for row in rows])
    slopes, offsets = jailbreak_train.calibrate(scored, answers, np.ones(len(rows), np.float32))
    learnt = jailbreak_train.train(bags, rows, kinds, recipe)
    held = read_rows("jailbreak/heldout.jsonl", "held out", part="response")
    lines = []
    tests = (
        ("a quarter of the corpus left out, in turn", rows, scored),
        (
            "held out",
            held,
            jailbreak_train.scores(learnt, [jailbreak_train.bag(r.text, shapes) for r in held]),
        ),
    )
    for name, some, their in tests:
        likely = jailbreak_train.probabilities(their, slopes, offsets)[:, 0]
        bad = np.array([row.label == "jailbreak" for row in some])
        lines.append(figures(name, likely[bad], likely[~bad]).line())
    facts = {"rows": len(rows), "seed": recipe.seed}
    return jailbreak_train.quantise(learnt, slopes, offsets, facts), lines


def figures(name: str, attacks: Floats, innocent: Floats) -> Figures:
    return Figures(
        name,
        len(attacks),
        len(innocent),
        auc(attacks, innocent),
        recall_at(attacks, innocent, 0.01),
        recall_at(attacks, innocent, 0.001),
        float((attacks >= THRESHOLD).mean()),
        float((innocent >= THRESHOLD).mean()),
    )


def recall_at(attacks: Floats, innocent: Floats, alarms: float) -> float:
    """The share of attacks above the score that only a share of the innocent texts exceeds."""
    ranked = np.sort(innocent)[::-1]
    return float((attacks > ranked[int(alarms * len(ranked))]).mean())


def auc(attacks: Floats, innocent: Floats) -> float:
    both = np.concatenate((attacks, innocent))
    ranks = both.argsort(kind="stable").argsort() + 1.0
    count = len(attacks)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(innocent)))


class Report:
    """The tables of the card."""

    def __init__(self, slopes: tuple[float, ...], offsets: tuple[float, ...]) -> None:
        self._slopes, self._offsets = slopes, offsets
        self._tables: dict[str, list[str]] = {
            name: []
            for name in ("sources", "own_only", "harmful", "tests", "families", "survival")
        }
        self._tables |= {"languages": [], "cost": [], "calibration": [], "thresholds": []}
        self._tables |= {"families_clean": []}
        self._reliability: list[tuple[float, bool]] = []

    def parts(self) -> dict[str, str]:
        self._tables["calibration"] = self._bins()
        return {name: "\n".join(lines) for name, lines in self._tables.items()}

    def _likely(self, scored: Floats) -> Floats:
        return jailbreak_train.probabilities(scored, self._slopes, self._offsets)

    def fold(
        self, learnt: Learnt, scored: dict[str, Floats], fold: frozenset[str], rows: list[Row]
    ) -> None:
        likely = {source: self._likely(one) for source, one in scored.items()}
        attacks = [source for source in ATTACKS if source in fold]
        innocent = sorted(source for source in fold if source_kind(source) == 2)
        for attack in attacks:
            for other in innocent:
                name = f"{attack} / {other}"
                self._tables["sources"].append(
                    figures(name, likely[attack][:, 0], likely[other][:, 0]).line()
                )
        for source in sorted(fold):
            kind = source_kind(source)
            if kind == 1:
                mine = likely[source]
                self._tables["harmful"].append(
                    f"| {source} | {len(mine)} | {(mine[:, 1] >= 0.5).mean():.3f} "
                    f"| {(mine[:, 0] >= THRESHOLD).mean():.3f} "
                    f"| {(mine[:, :2].sum(axis=1) >= 0.5).mean():.3f} |"
                )
            self._reliability += [(float(p), kind == 0) for p in likely[source][:, 0]]

    def own(self, learnt: Learnt, scored: dict[str, Floats], rows: list[Row]) -> None:
        likely = {source: self._likely(one)[:, 0] for source, one in scored.items()}
        innocent = np.concatenate([p for s, p in likely.items() if source_kind(s) == 2])
        for attack in ATTACKS:
            name = f"{attack} / all innocent sources"
            self._tables["own_only"].append(figures(name, likely[attack], innocent).line())

    def tests(self, learnt: Learnt, tests: list[Row], bags: list[Bag]) -> None:
        likely = self._likely(jailbreak_train.scores(learnt, bags))[:, 0]
        held = np.array([row.source.startswith("held out") for row in tests])
        attack = held & np.array([row.label == "jailbreak" for row in tests])
        benign = np.array([row.label == BENIGN for row in tests])
        for source in dict.fromkeys(row.source for row in tests):
            mine = np.array([row.source == source for row in tests])
            attacks = attack & mine if source.startswith("held out") else attack
            one = figures(source, likely[attacks], likely[benign & mine])
            self._tables["tests"].append(one.line())
        everyday = np.array([row.source.startswith("everyday") for row in tests])
        for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
            shares = [
                f"{(likely[some] >= threshold).mean():.3f}"
                for some in (attack, benign & held, benign & everyday)
            ]
            self._tables["thresholds"].append(f"| {threshold} | {' | '.join(shares)} |")
        clean = np.array([row.source == CLEAN for row in tests])
        for title, key, some in (
            ("families", "family", held & ~clean),
            ("families_clean", "family", clean),
            ("languages", "lang", held),
        ):
            names = [getattr(row, key) for row in tests]
            for name in dict.fromkeys(n for n, one in zip(names, some, strict=True) if one):
                mine = some & np.array([one == name for one in names])
                caught, alarms = _share(likely[mine & attack]), _share(likely[mine & benign])
                self._tables[title].append(f"| {name} | {caught} | {alarms} |")

    def survival(
        self, learnt: Learnt, model: AttackModel, rows: list[Row], held: list[Row], seed: int
    ) -> None:
        """Of the attacks found, how many are still found among 200 harmless words."""
        strict = jailbreak_train.quantise(learnt, self._slopes, self._offsets, {})
        dice = random.Random(seed)
        prose = [r.text for r in rows if r.family.startswith("prose_")]
        everyday = [row.text for row in rows if row.source == "own, everyday" and row.lang == "en"]
        cases = (
            ("unseen sources", AttackDetector(strict), [r for r in rows if r.source in ATTACKS]),
            ("held out", AttackDetector(model), [r for r in held if r.label == "jailbreak"]),
        )
        for name, detector, some in cases:
            found = [row.text for row in some if attacked(detector, row.text)]
            for place in ("appended", "prepended", "on both sides"):
                for words in (3, 20, 200):
                    kept = 0
                    for text in found:
                        fillers = [
                            filler(prose if dice.random() < 0.5 else everyday, words, dice)
                            for _ in range(2)
                        ]
                        before = fillers[0] + " " if place != "appended" else ""
                        after = " " + fillers[1] if place != "prepended" else ""
                        kept += attacked(detector, before + text + after)
                    self._tables["survival"].append(
                        f"| {name} | {words} | {place} | {kept} of {len(found)} "
                        f"| {kept / max(1, len(found)):.3f} |"
                    )

    def costs(self, detector: AttackDetector) -> None:
        words = [row.text for row in read_rows("domain/templated.jsonl", "")][::7]
        for size in (60, 250, 1_000, 4_000, 30_000, 1_000_000):
            whole = " ".join(words)
            texts = [(whole[i * 61 :] + whole)[:size] for i in range(200 if size < 9_000 else 5)]
            if size == 1_000_000:
                texts = [text * (size // len(text) + 1) for text in texts]
            taken = []
            for text in texts:
                began = perf_counter()
                detector.classify(text)
                taken.append(perf_counter() - began)
            self._tables["cost"].append(
                f"| {size:,} | {median(taken) * 1e6:,.0f} | {min(taken) * 1e6:,.0f} |"
            )

    def _bins(self) -> list[str]:
        lines = []
        for low in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9):
            high = {0.0: 0.1, 0.1: 0.3, 0.3: 0.5, 0.5: 0.7, 0.7: 0.9, 0.9: 1.01}[low]
            mine = [(p, bad) for p, bad in self._reliability if low <= p < high]
            if mine:
                said = sum(p for p, _ in mine) / len(mine)
                true = sum(bad for _, bad in mine) / len(mine)
                lines.append(
                    f"| {low} to {min(high, 1)} | {len(mine)} | {said:.2f} | {true:.2f} |"
                )
        return lines


def _share(likely: Floats) -> str:
    return f"{int((likely >= THRESHOLD).sum())} of {len(likely)}" if len(likely) else "none"


def attacked(detector: AttackDetector, text: str) -> bool:
    return dict(detector.classify(text))["jailbreak"] >= THRESHOLD


def filler(texts: list[str], words: int, dice: random.Random) -> str:
    found: list[str] = []
    while len(found) < words:
        found += dice.choice(texts).split()
    return " ".join(found[:words])


CARD_TEXT = """\
# The built-in jailbreak detectors

Generated by `scripts/train_jailbreak.py`; do not edit.

Two classifiers in the wheel, {megabytes:.1f} and {answer_megabytes:.1f} MB, that need only numpy and RE2.
`jailbreak` labels a prompt `jailbreak` (an attack on the model's instructions: role-play
overrides, resets, probes for the system prompt, instructions planted in documents and tool
results, encoded payloads...), `harmful` (a harmful request, plainly put) or `benign`.
`jailbreak_response` labels an answer, or a piece of one, `jailbreak` when it gave in to an attack
or leaks its instructions.

## The bars

Bars of the project: recall at 1 % false positives on sources unseen in training at least .50;
benign false positives at the default threshold at most 1 %; 95 % of detections survive up to
200 harmless words. This command prints every table of this page, in minutes:

    python scripts/train_jailbreak.py --card /dev/null --out /tmp

Recall and false positives are always those of texts whose source the model has not seen; both
collections of attacks come from the same forums, so they are left out together.

| attacks / innocent texts | rows | AUC | recall at 1 % false positives | at 0.1 % | recall at the default threshold (.5) | false positives there |
| --- | --- | --- | --- | --- | --- | --- |
{sources}

Trained on this project's corpora alone, all public sources unseen (the threshold .5 is not meant for
this model, which knows fewer innocent texts):

| attacks / innocent texts | rows | AUC | recall at 1 % | at 0.1 % | recall at .5 | false positives at .5 |
| --- | --- | --- | --- | --- | --- | --- |
{own_only}

Attacks held out in `corpora/jailbreak/` against their own hard negatives, which resemble them on
purpose (*first*: seen to fail once before the corpus was extended; *second*: its figures by family
were known when the families weak in it were extended; *third*: see below), and all
of them against everyday prompts and exam questions; none was trained on:

| innocent texts | rows | AUC | recall at 1 % | at 0.1 % | recall at .5 | false positives at .5 |
| --- | --- | --- | --- | --- | --- | --- |
{tests}

What other thresholds mean for the same texts (all rounds together):

| threshold | attacks caught | hard negatives flagged | everyday prompts flagged |
| --- | --- | --- | --- |
{thresholds}

Detections that survive harmless words around the attack (everyday prompts or prose, cut anywhere):

| attacks | words | where | survive | share |
| --- | --- | --- | --- | --- |
{survival}

Harmful requests without an attack, their source left out:

| source | rows | labelled harmful (.5) | labelled jailbreak (.5) | either (sum .5) |
| --- | --- | --- | --- | --- |
{harmful}

By family, held out (at .5): attacks caught, innocent texts flagged. The third round has the families
that were weak in the others. Its clean figure is that of a first model, measured once: 42 of 76
attacks caught and 3 of 76 innocent texts flagged, where the model before it had 15 and 1. That
first model flagged innocent requests to "leave nothing out", so neighbours were added and it was
trained again; the figures here are a second look, of the model that is shipped:

| family | caught | flagged |
| --- | --- | --- |
{families_clean}

The first two rounds:

| family | caught | flagged |
| --- | --- | --- |
{families}

By language, held out (at .5):

| language | caught | flagged |
| --- | --- | --- |
{languages}

The default threshold was set on these very scores (see *How it works*), so its false positives are
chosen, not found; those of the held-out sets above were not looked at. Probabilities
below .9 are therefore modest: more of such texts are attacks than they say.

Calibration of `jailbreak`, unseen sources (slopes {slopes}, offsets {offsets}):

| probability said | rows | mean said | share that were attacks |
| --- | --- | --- | --- |
{calibration}

`jailbreak_response`:

| answers | rows | AUC | recall at 1 % | at 0.1 % | recall at .5 | false positives at .5 |
| --- | --- | --- | --- | --- | --- | --- |
{answers}

## What it costs

Microseconds on one core of the machine it was trained on, texts all different:

| characters | median | least |
| --- | --- | --- |
{cost}

## How it works

1. *Normalise*: NFKC; invisible characters and stacked marks go; words that mix Latin with
   Cyrillic or Greek become Latin; spaced-out letters close up. What base64, hexadecimal,
   percent signs, escapes, leetspeak, rot13 or reversal hide is decoded and judged as well, up to
   8 readings.
2. *Shapes*: {shapes} named patterns (RE2, three passes) over the whole text, up to a million characters.
3. *Words*: words, two and three in a row, pieces of 3 to 5 characters and shapes are hashed into
   2^19 buckets, {features:,} of which have a weight (int8). 32,000 characters are weighed: both ends, and
   what surrounds the first ten shapes.
4. *Stretches*: running sums give the score of every stretch of 6 to 119 tokens at steps of a sixth
   of its length, and of texts up to 128 tokens as a whole. The best stretch of the best reading
   counts, calibrated by a logistic fit on rows of sources left out; its offset is then lowered,
   where need be, until .5 flags at most 1 % of each innocent source.

Trained by multiple-instance learning: {rounds} rounds of {epochs} epochs (AdaGrad, {dropout:.0%} feature
dropout, seed {seed}); after each round the likeliest stretch of every text becomes the next example.

## What it was trained on

| label | source | rows |
| --- | --- | --- |
{counts}

`own` is `corpora/jailbreak/`, `own, everyday` is `corpora/domain/` (both Apache-2.0). verazuo/jailbreak_llms,
GPTFuzz, AdvBench, HarmBench, StrongREJECT, HaluEval, GPTeacher, MMLU and MMLU-Pro, GSM8K and counsel-chat
are MIT; CLINC-150 is CC BY 3.0, Banking77 CC BY 4.0. Public texts are not in the repository.

## What was tried

- One score for the whole text instead of stretches: harmless words dilute it, which is how the
  detector of vLLM Semantic Router is evaded. Stretches need hard negatives: without looking again
  for the likeliest stretch of innocent texts, long personal letters and law cases look like
  attacks, because public attacks are long and public innocent prompts short. Long innocent
  passages of our own and counsel-chat were added for it.
- TF-IDF or static vectors with a linear head reached .11 to .18 recall at 1 % false positives on an
  unseen benchmark of optimised attacks (design notes of this project); that benchmark is not
  here, so its figure for this model is not known.

## Limits

- Optimised attacks (GCG, PAIR, DSN) are represented only by our own imitations. Expect to miss many.
- An attack told as an ordinary story, with no word about rules, roles, prompts or answers, looks
  like one. So does a harmful request put politely: `harmful` is a weak label, see its table.
- Languages other than English know each technique in a few phrasings; no native speaker reviewed
  them.
- Words that appear in no list of ours are not known as harmful: a request in pieces, or a story
  that teaches, about something unlisted is missed. Of stories held out nearly all are: the words
  around the lesson are innocent, and a linear score cannot know which lesson is not. Persuasion in
  small steps is as hard. A lower threshold catches few of them; a stronger `engine` is the cure.
- Some detections hang on where a sentence begins: harmless words in front that stop in the middle of
  a sentence lose up to 6 % of the held-out ones.
- Innocent texts that share an attack's turns of phrase are flagged more often than others: talk
  about attacks, system prompts, lists of what an answer must not contain. See the tables.
- It reads text, not images, and not across turns unless asked to (`include_history`).
- `jailbreak_response` is trained and measured on composed answers only.
- A question that quotes an attack word for word is often flagged (see the table): whatever surrounds
  it, the stretch is there. Who runs a security desk sets a higher threshold, or asks `hybrid`.
- A patient attacker who can query it will get past it. Put a stronger model behind the same
  signal (`engine`), and do not give a model powers that a lie could abuse.
"""


if __name__ == "__main__":
    main()
