"""Trains the built-in domain model and writes its file and its model card.

    python scripts/train_domain.py --teacher all-MiniLM-L6-v2/   # needs torch and transformers
    python scripts/train_domain.py                               # needs numpy

The first command fine-tunes a transformer, exports it for the `onnx` engine and keeps what it
says of many texts, all under ``build/domain-teacher``; then it does what the second does. Rows
come from `corpora/domain/` (ours) and, where `--data` has them, the public sets named in the card.
The model learns from the rows alone, unless ``--trust`` says how much the transformer's word
counts; where its file is, the card also tells how a cascade of the two does.

Half of the exam questions that are not trained on, chosen by a hash of their text, and all of
`heldout.jsonl` are only measured; the other half chose the settings. The calibration is found with
a first training that leaves one handwritten prompt in five out, so that it is fitted to everyday
prompts and exam questions not seen; the second has them all.
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from time import perf_counter

import domain_card
import numpy as np
from domain_card import Rows, Sets

from wayside.engines import deep, distil, finetune, modelfile, train
from wayside.engines.static import DOMAIN_MODEL, StaticClassifier

ROOT = Path(__file__).parents[1]
CORPORA = ROOT / "corpora" / "domain"
CARD = ROOT / "docs" / "reference" / "models" / "domain.md"
TEACHER = ROOT / "build" / "domain-teacher"
LATIN = {"de", "en", "es", "fr", "id", "it", "nl", "pl", "pt", "sv"}  # what MiniLM can spell
FRAMES = (
    "{t}", "{t} {u}", "what is {t}", "{t} and {u}", "tell me about {t}", "how do {t} work",
    "my {t} problem", "is {t} bad", "{t} vs {u}", "explain {t}", "best {t} for {u}", "why {t}",
)  # fmt: skip


def main() -> None:
    args = arguments()
    recipe = deep.Recipe(seed=args.seed)
    sets = Sets.read(CORPORA, args.data)
    if args.teacher:
        fine_tuned(args, sets)
    taught = distil.Taught.read(args.taught) if args.taught.exists() else None
    print(f"the teacher's word on {len(taught.texts) if taught else 0} texts")

    how = train.Calibration()
    if sets.tuning:
        print("first training: for the calibration", flush=True)
        some = sets.learnt(without=sets.spared(sets.handwritten + sets.everyday))
        how = fitted(
            learn(
                some,
                sets.measured() + sets.spared(sets.handwritten + sets.everyday),
                taught,
                recipe,
                args.trust,
            ),
            sets,
        )
    print(f"temperature {how.divisor:.3f}, bend {how.bend:.3f}; second training", flush=True)
    began = perf_counter()
    rows = sets.learnt()
    head = learn(rows, sets.measured(), taught, recipe, args.trust)
    facts = {
        "rows": len(rows),
        "trust": args.trust,
        "temperature": round(how.divisor, 4),
        "seed": recipe.seed,
    }
    modelfile.write(args.out, deep.quantise(head, how, facts, unknown="other"))
    print(f"{args.out}: {args.out.stat().st_size:,} bytes in {perf_counter() - began:.0f} s")

    classifier = StaticClassifier.load(args.out)
    text = domain_card.card(classifier, sets, taught, head, how, args.out)
    if args.card:
        args.card.parent.mkdir(parents=True, exist_ok=True)
        args.card.write_text(text, "utf-8")
    print(text[: text.index("Precision")])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the built-in domain model.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/labelled")
    parser.add_argument("--teacher", type=Path, help="a transformer's folder, to be fine-tuned")
    parser.add_argument("--taught", type=Path, default=TEACHER / "taught.npz")
    parser.add_argument("--trust", type=float, default=0.0, help="share of the teacher's word")
    parser.add_argument("--out", type=Path, default=DOMAIN_MODEL)
    parser.add_argument("--card", type=Path, default=CARD)
    parser.add_argument("--seed", type=int, default=deep.Recipe().seed)
    return parser.parse_args()


def learn(
    rows: Rows, unseen: Rows, taught: distil.Taught | None, recipe: deep.Recipe, trust: float
) -> deep.Head:
    """The model that the rows make, and the teacher as far as it is trusted; never of `unseen`."""
    some, wanted = distil.lesson(
        rows,
        taught if trust else None,
        trust={True: trust, False: 0.9},
        smoothing=recipe.smoothing,
        without=[text for text, _ in unseen],
    )
    return deep.learn(some, recipe, print, wanted)


def fitted(head: deep.Head, sets: Sets) -> train.Calibration:
    """The calibration for rows not seen: exam questions, plain prompts and hard ones alike."""
    parts = [sets.tuning, sets.spared(sets.handwritten), sets.spared(sets.everyday)]
    rows = [row for one in parts for row in one]
    texts = [text for text, _ in rows]
    return train.calibrate(
        deep.scores(head, texts),
        deep.lengths(head, texts),
        np.array([head.labels.index(label) for _, label in rows]),
        np.array([1 / len(one) for one in parts for _ in one], np.float32),
    )


def fine_tuned(args: argparse.Namespace, sets: Sets) -> None:
    """Fine-tunes the transformer on the rows, exports it, and writes down what it says."""
    spelt = sets.learnt(languages=LATIN, without=sets.spared(sets.handwritten + sets.everyday))
    recipe = finetune.Recipe(seed=args.seed)
    print(f"fine-tuning {args.teacher} on {len(spelt)} rows: {asdict(recipe)}", flush=True)
    folder = args.taught.parent
    model = finetune.finetune(spelt, args.teacher, folder / "torch", recipe, print)
    model.export(folder / "onnx")
    ask(model, args.teacher / "vocab.txt", sets, args.seed).write(args.taught)


def ask(model: finetune.Finetuned, words: Path, sets: Sets, seed: int) -> distil.Taught:
    """What the teacher says of all rows it can spell, of fresh texts, and of what is measured."""
    texts = list(dict.fromkeys(asked(words, sets, Random(seed))))
    print(f"asking the teacher about {len(texts)} texts", flush=True)
    return distil.Taught(model.labels, tuple(texts), model.probabilities(texts))


def asked(words: Path, sets: Sets, dice: Random) -> Iterator[str]:
    vocabulary = words.read_text("utf-8").split("\n") if words.exists() else []
    known = [word for word in vocabulary if re.fullmatch("[a-z]{3,}", word)]
    yield from distil.fresh(known, FRAMES, [text for text, _ in sets.exam], dice)
    yield from sets.talk
    for text, _ in sets.learnt(languages=LATIN) + sets.measured():
        yield text


if __name__ == "__main__":
    main()
