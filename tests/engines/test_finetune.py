"""Fine-tuning: batches, what is missing said plainly; the rest needs PyTorch and transformers."""

from __future__ import annotations

import builtins
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.test_train_domain import made_up
from wayside.engines import finetune
from wayside.vocab.errors import ConfigError

needs_torch = pytest.mark.skipif(
    any(
        importlib.util.find_spec(name) is None
        for name in ("torch", "transformers", "tokenizers", "onnx", "onnxruntime")
    ),
    reason="PyTorch, transformers, tokenizers, onnx and onnxruntime are not all installed",
)


def test_without_pytorch_what_to_install_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="pip install torch transformers"):
        finetune.finetune(made_up(), tmp_path, tmp_path)


def test_no_rows_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rows"):
        finetune.finetune([], tmp_path, tmp_path)


def test_a_pass_shows_every_text_once_with_texts_of_like_length() -> None:
    dice = np.random.default_rng(3)
    encoded = [[1] * int(length) for length in dice.integers(1, 90, 1000)]
    batches = list(finetune._batches(encoded, 16, dice))
    assert sorted(int(i) for batch in batches for i in batch) == list(range(1000))
    assert max(len(batch) for batch in batches) == 16
    spread = [np.ptp([len(encoded[i]) for i in batch]) for batch in batches]
    assert np.mean(spread) < 10  # of 89 that a random batch would nearly span


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A tiny untrained transformer that knows the words of the made-up rows."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    words = sorted({word for text, _ in made_up() for word in text.split()})
    numbers = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    reader = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    reader.pre_tokenizer = pre_tokenizers.Whitespace()
    reader.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder = tmp_path / "base"
    config = BertConfig(
        vocab_size=len(numbers), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(str(folder))
    reader.save(str(folder / "tokenizer.json"))
    return folder


@needs_torch
async def test_a_tiny_transformer_learns_is_kept_and_exported(base: Path, tmp_path: Path) -> None:
    recipe = finetune.Recipe(epochs=12, batch=8, rate=3e-3, longest=16)
    said: list[str] = []
    rows = made_up()
    model = finetune.finetune(rows, base, tmp_path / "out", recipe, said.append)
    texts = [text for text, _ in rows]
    shares = model.probabilities(texts)
    right = [
        model.labels[i] == label for i, (_, label) in zip(shares.argmax(1), rows, strict=True)
    ]
    assert np.mean(right) > 0.95
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-3)
    assert sum(line.startswith("epoch") for line in said) == 12
    loaded = finetune.Finetuned.load(tmp_path / "out")
    assert loaded.probabilities([*texts, "\ud800"])[:-1] == pytest.approx(shares, abs=1e-2)

    loaded.export(tmp_path / "onnx")
    config = json.loads((tmp_path / "onnx" / "config.json").read_text("utf-8"))
    assert config["id2label"] == {"0": "fruit", "1": "tool"}

    from wayside.engines.base import Tools
    from wayside.engines.onnx import OnnxEncoder, OnnxSettings

    served = OnnxEncoder(OnnxSettings(model=str(tmp_path / "onnx")), Tools("it"))
    found = dict(await served.classify(texts[0]))
    served.close()
    assert [found[label] for label in model.labels] == pytest.approx(shares[0].tolist(), abs=0.02)


@needs_torch
def test_a_second_fine_tuning_goes_on_from_the_first(base: Path, tmp_path: Path) -> None:
    recipe = finetune.Recipe(epochs=12, batch=8, rate=3e-3, longest=16)
    finetune.finetune(made_up(), base, tmp_path / "one", recipe)
    still = finetune.Recipe(epochs=1, batch=8, rate=0.0, head_rate=0.0, longest=16)
    texts = [text for text, _ in made_up()]
    before = finetune.Finetuned.load(tmp_path / "one").probabilities(texts)
    after = finetune.finetune(made_up(), tmp_path / "one", tmp_path / "two", still)
    assert after.probabilities(texts) == pytest.approx(before, abs=1e-2)
