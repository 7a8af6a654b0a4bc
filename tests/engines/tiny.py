"""Models so small that their answers are worked out by hand, saved as Hugging Face saves them.

Every token has one row of numbers in a table; the graph looks the rows up, so a token's logits or
vector are its row. A classifier takes the mean over the tokens. Special tokens have rows too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
Table = Mapping[str, Sequence[float]]


def folder(
    path: Path,
    table: Table,
    *,
    kind: str = "BertForSequenceClassification",
    labels: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    inputs: Sequence[str] = INPUTS,
    file: str = "model.onnx",
    types: Sequence[float] | None = None,
) -> Path:
    """A model folder whose network looks tokens up in ``table`` (words and special tokens).

    ``types`` is added to the row of every token of the second segment.
    """
    path.mkdir(parents=True, exist_ok=True)
    width = len(next(iter(table.values())))
    words = [*SPECIAL, *(word for word in table if word not in SPECIAL)]
    rows = np.array([table.get(word, [0.0] * width) for word in words], np.float32)
    settings = {
        "architectures": [kind],
        "model_type": "bert",
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        **({"id2label": {str(i): name for i, name in enumerate(labels)}} if labels else {}),
        **(config or {}),
    }
    (path / "config.json").write_text(json.dumps(settings))
    wordpiece({word: i for i, word in enumerate(words)}).save(str(path / "tokenizer.json"))
    (path / file).parent.mkdir(exist_ok=True)
    whole = kind.endswith("ForSequenceClassification")
    onnx.save(graph(rows, inputs, whole=whole, named=kind, types=types), str(path / file))
    return path


def wordpiece(vocabulary: Mapping[str, int]) -> Tokenizer:
    """BERT's way of tokenising, with a vocabulary of a few words."""
    tokenizer = Tokenizer(models.WordPiece(dict(vocabulary), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def graph(
    rows: Any,
    inputs: Sequence[str],
    *,
    whole: bool,
    named: str,
    types: Sequence[float] | None = None,
) -> onnx.ModelProto:
    """Look rows up; for ``whole`` texts, take their mean where the mask is one."""
    weights = [onnx.numpy_helper.from_array(rows, "table")]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"])]
    last = "rows"
    if types is not None:
        added = np.array([[0.0] * rows.shape[1], types], np.float32)
        weights.append(onnx.numpy_helper.from_array(added, "types"))
        nodes.append(helper.make_node("Gather", ["types", "token_type_ids"], ["added"]))
        nodes.append(helper.make_node("Add", ["rows", "added"], ["typed"]))
        last = "typed"
    name = "logits" if "For" in named else "last_hidden_state"
    shape: list[Any] = ["batch", "tokens", rows.shape[1]]
    if whole:
        shape = ["batch", rows.shape[1]]
        weights.append(onnx.numpy_helper.from_array(np.array([2], np.int64), "axis"))
        weights.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "tokens"))
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["real", "axis"], ["mask"]),
            helper.make_node("Mul", [last, "mask"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["mask", "tokens"], ["count"], keepdims=0),
            helper.make_node("Div", ["sum", "count"], [name]),
        ]
    else:
        nodes.append(helper.make_node("Identity", [last], [name]))
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(i, TensorProto.INT64, ["batch", "tokens"]) for i in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        initializer=weights,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
