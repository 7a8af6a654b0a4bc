"""Fine-tunes a small transformer into a text classifier, for the second step of a cascade.

The only module that needs PyTorch and `transformers`, and they are imported when it is used: none
of it runs in the router. `finetune` learns from (text, label) rows, starting from a folder in
Hugging Face's format (all-MiniLM-L6-v2, say); `Finetuned.load` reads what it wrote, answers with
probabilities (which `distil` teaches the built-in model with) and exports an ONNX graph that the
`onnx` engine serves.

A text is cut at `Recipe.longest` tokens. The classifier is one linear layer over the mean of the
last hidden states, the pooling that sentence encoders are trained with.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from wayside.vocab.errors import ConfigError

Row = tuple[str, str]  # text, label
Say = Callable[[str], None]
FACTS: Final = "wayside.json"  # what `Finetuned` needs to know, beside the weights
HEAD: Final = "head.pt"
GRAPH_INPUTS: Final = ("input_ids", "attention_mask")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fine-tune; the defaults are what served MiniLM-L6 best on one core."""

    epochs: int = 3
    batch: int = 32
    rate: float = 1e-4  # of the encoder, after a warm-up; falls linearly to nothing
    head_rate: float = 2e-3  # of the classifier, which starts from nothing
    warmup: float = 0.06  # share of the steps
    decay: float = 0.01
    smoothing: float = 0.05  # probability spread over the wrong labels
    longest: int = 96  # tokens read of a text
    seed: int = 20260


class Finetuned:
    """A fine-tuned classifier: `labels` and, for texts, their probabilities."""

    def __init__(self, labels: tuple[str, ...], encoder: Any, head: Any, reader: Any) -> None:
        self.labels = labels
        self.encoder, self.head, self.reader = encoder, head, reader

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `finetune` wrote; `FileNotFoundError` for a folder without it."""
        torch, transformers = _libraries()
        facts = _facts(folder)
        encoder = transformers.AutoModel.from_pretrained(str(folder))
        head = torch.nn.Linear(encoder.config.hidden_size, len(facts["labels"]))
        head.load_state_dict(torch.load(folder / HEAD, weights_only=True))
        return cls(tuple(facts["labels"]), encoder, head, _reader(folder, facts["longest"]))

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """Writes encoder, head, tokenizer and `facts` into a folder, made if need be."""
        torch, _ = _libraries()
        folder.mkdir(parents=True, exist_ok=True)
        self.encoder.save_pretrained(str(folder))
        torch.save(self.head.state_dict(), folder / HEAD)
        self.reader.save(str(folder / "tokenizer.json"))
        text = json.dumps({"labels": list(self.labels), **facts}, indent=1, sort_keys=True)
        (folder / FACTS).write_text(text + "\n", "utf-8")

    def export(self, folder: Path) -> None:
        """Writes a folder that the engine kind ``onnx`` serves."""
        torch, _ = _libraries()
        folder.mkdir(parents=True, exist_ok=True)
        self.encoder.eval()
        owner = self

        class Scores(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.encoder, self.head = owner.encoder, owner.head

            def forward(self, input_ids: Any, attention_mask: Any) -> Any:
                return owner.scores(input_ids, attention_mask)

        ids = torch.ones((2, 8), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is another exporter
            torch.onnx.export(
                Scores().eval(),
                (ids, ids),
                str(folder / "model.onnx"),
                input_names=list(GRAPH_INPUTS),
                output_names=["logits"],
                dynamic_axes={name: {0: "texts", 1: "tokens"} for name in GRAPH_INPUTS}
                | {"logits": {0: "texts"}},
                dynamo=False,  # the other exporter needs a further package
            )
        self.reader.save(str(folder / "tokenizer.json"))
        config = self.encoder.config.to_dict() | {
            "architectures": ["BertForSequenceClassification"],
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: i for i, label in enumerate(self.labels)},
        }
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")

    def scores(self, ids: Any, mask: Any) -> Any:
        """What the head says of texts as token numbers (texts x tokens), before the softmax."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return self.head((states * weights).sum(1) / weights.sum(1).clamp(min=1))

    def probabilities(self, texts: Sequence[str], batch: int = 64) -> NDArray[np.float32]:
        """Softmax over the labels for every text, in the order given: texts x labels."""
        torch, _ = _libraries()
        self.encoder.eval()
        found = np.zeros((len(texts), len(self.labels)), np.float32)
        encoded = _encode(self.reader, texts)
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for at in range(0, len(order), batch):
                chosen = order[at : at + batch]
                scored = self.scores(*_tensors(torch, [encoded[i] for i in chosen]))
                found[chosen] = torch.softmax(scored.float(), -1).numpy()
        return found


def finetune(
    rows: Sequence[Row],
    base: Path,
    out: Path,
    recipe: Recipe = Recipe(),
    say: Say = lambda line: None,
) -> Finetuned:
    """Fine-tunes the encoder in `base` on the rows; `out` holds the last finished epoch.

    A `base` that `finetune` itself wrote, for the same labels, goes on from its classifier.
    """
    if not rows:
        raise ValueError("no rows to train from: give at least one text and label")
    torch, transformers = _libraries()
    torch.manual_seed(recipe.seed)
    dice = np.random.default_rng(recipe.seed)
    labels = tuple(sorted({label for _, label in rows}))
    encoder = transformers.AutoModel.from_pretrained(str(base))
    head = torch.nn.Linear(encoder.config.hidden_size, len(labels))
    if (base / FACTS).exists() and _facts(base)["labels"] == list(labels):
        head.load_state_dict(torch.load(base / HEAD, weights_only=True))
    model = Finetuned(labels, encoder, head, _reader(base, recipe.longest))
    encoded = _encode(model.reader, [text for text, _ in rows])
    answers = np.array([labels.index(label) for _, label in rows])
    optimiser = torch.optim.AdamW(
        [
            {"params": encoder.parameters(), "lr": recipe.rate},
            {"params": head.parameters(), "lr": recipe.head_rate},
        ],
        weight_decay=recipe.decay,
    )
    steps = recipe.epochs * -(-len(rows) // recipe.batch)
    schedule = transformers.get_linear_schedule_with_warmup(
        optimiser, int(recipe.warmup * steps), steps
    )
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    step = 0
    for epoch in range(recipe.epochs):
        encoder.train()
        total = right = 0.0
        for chosen in _batches(encoded, recipe.batch, dice):
            wanted = torch.from_numpy(answers[chosen])
            with torch.autocast("cpu", torch.bfloat16):
                scored = model.scores(*_tensors(torch, [encoded[i] for i in chosen]))
            loss = loss_of(scored.float(), wanted)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
            total += loss.item() * len(chosen)
            right += int((scored.argmax(-1) == wanted).sum())
            step += 1
            if step % 100 == 0:
                say(f"step {step} of {steps}: loss {loss.item():.3f}")
        say(
            f"epoch {epoch + 1} of {recipe.epochs}: loss {total / len(rows):.4f}, "
            f"{right / len(rows):.4f} right meanwhile"
        )
        model.save(out, asdict(recipe) | {"rows": len(rows), "epoch": epoch + 1})
    return model


def _batches(
    encoded: Sequence[list[int]], size: int, dice: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """All rows once, in random order, texts of like length together to waste no padding."""
    order = dice.permutation(len(encoded))
    pools = [order[at : at + 50 * size] for at in range(0, len(order), 50 * size)]
    batches = []
    for pool in pools:
        by_length = np.array(sorted(pool, key=lambda i: len(encoded[i])))
        batches += [by_length[at : at + size] for at in range(0, len(by_length), size)]
    for i in dice.permutation(len(batches)):
        yield batches[i]


def _tensors(torch: Any, encoded: list[list[int]]) -> tuple[Any, Any]:
    """Token numbers and their mask, padded with zeros to the longest: texts x tokens."""
    longest = max(map(len, encoded))
    ids = torch.tensor([one + [0] * (longest - len(one)) for one in encoded])
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in encoded])
    return ids, mask


def _encode(reader: Any, texts: Sequence[str]) -> list[list[int]]:
    # A half surrogate cannot be UTF-8, and the Rust tokenizer raises on it
    clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    return [one.ids for one in reader.encode_batch(clean)]


def _facts(folder: Path) -> Any:
    return json.loads((folder / FACTS).read_text("utf-8"))


def _reader(folder: Path, longest: int) -> Any:
    """The folder's tokenizer, cutting at `longest` tokens and padding nothing."""
    from tokenizers import Tokenizer

    reader = Tokenizer.from_file(str(folder / "tokenizer.json"))
    reader.enable_truncation(longest)
    reader.no_padding()
    return reader


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ConfigError.one(
            f"fine-tuning needs PyTorch and transformers ({error})",
            fix="pip install torch transformers",
        ) from error
    return torch, transformers
