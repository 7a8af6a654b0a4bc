"""Model folders as they come: families, decoders, byte-level tokenizers, and the known models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from tests.engines import tiny
from wayside.engines import store
from wayside.engines.base import Tools
from wayside.engines.folder import Folder, find
from wayside.engines.known import KNOWN, repository
from wayside.engines.onnx import OnnxEncoder, OnnxSettings

TABLE = {"[CLS]": [0, 0], "[SEP]": [0, 0], "add": [0, 4], "the": [0, 0]}


def config(tmp_path: Path, **settings: Any) -> Folder:
    (tmp_path / "config.json").write_text(json.dumps(settings))
    return Folder(tmp_path)


def engine(folder: Path | str, **settings: Any) -> OnnxEncoder:
    rule = OnnxSettings.model_validate({"model": str(folder), **settings})
    return OnnxEncoder(rule, Tools("it"))


@pytest.mark.parametrize(
    ("settings", "longest"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "modernbert", "max_position_embeddings": 8192}, 8192),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "deberta"}, 512),
        ({"model_type": "t5", "max_position_embeddings": -1}, 512),
    ],
)
def test_how_much_a_model_reads(tmp_path: Path, settings: dict[str, Any], longest: int) -> None:
    folder = config(tmp_path, **settings)
    assert folder.longest == longest
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 256}')
    assert folder.longest == 256


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("ModernBertForSequenceClassification", "classify"),
        ("XLMRobertaForTokenClassification", "mark"),
        ("BertModel", "embed"),
        ("Qwen3ForCausalLM", "embed"),
    ],
)
def test_what_a_model_is_for(tmp_path: Path, architecture: str, task: str) -> None:
    assert config(tmp_path, architectures=[architecture]).task == task


def test_pooling_notes(tmp_path: Path) -> None:
    folder = config(tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    for note, expected in (
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ):
        (tmp_path / "1_Pooling/config.json").write_text(json.dumps(note))
        assert folder.pooling == expected
    (tmp_path / "1_Pooling/config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(ValueError, match="pooling other than mean, cls, last"):
        _ = folder.pooling


def test_layers_after_the_pooling_are_not_left_out_silently(tmp_path: Path) -> None:
    tiny.folder(tmp_path, TABLE, kind="Gemma3TextModel")
    modules = [{"type": "sentence_transformers.models.Dense"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match="ends before the layers after its pooling"):
        engine(tmp_path)


async def test_a_known_guard_needs_no_further_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYSIDE_MODELS", str(tmp_path))
    name = "llm-semantic-router/mmbert32k-jailbreak-detector-merged"
    folder = tiny.folder(store.folder_of(name), TABLE, labels=("LABEL_0", "LABEL_1"))
    store.write_lock(folder, name, "abc", "apache-2.0", {})
    made = engine("models/mmbert32k-jailbreak-detector-merged", max_tokens=6, overlap=0)
    assert made.labels == ("benign", "jailbreak")
    found = dict(await made.classify("the " * 40 + "add add add add"))
    assert found["jailbreak"] == pytest.approx(1 / (1 + np.exp(-16 / 6)), abs=1e-5)
    made.close()
    thin = engine(name, max_tokens=6, overlap=0, combine="mean")
    assert dict(await thin.classify("the " * 40 + "add " * 4))["jailbreak"] < 0.6
    thin.close()
    unnamed = engine(name, labels={"LABEL_1": "attack"}, positive=["attack"])
    assert unnamed.labels == ("benign", "attack"), "one's own names come first"
    unnamed.close()


def test_known_names_are_distinct_and_found() -> None:
    names = [
        *KNOWN,
        *(n.partition("/")[2] for n in KNOWN),
        *(a for k in KNOWN.values() for a in k.aliases),
    ]
    assert len({n.lower() for n in names}) == len(names)
    assert all(repository(name) for name in names)
    assert repository("models/mom-embedding-pro") == "Qwen/Qwen3-Embedding-0.6B"
    assert repository("nobody/knows") is None
    for known in KNOWN.values():
        assert set(known.positive) <= set(known.labels.values())


async def test_spans_of_a_byte_level_tokenizer(tmp_path: Path) -> None:
    """Its tokens hold the space before a word, and a character may be several tokens."""
    text = "so Zoë 😀 Smith!"
    tokenizer = Tokenizer(models.BPE(vocab=_bytes(), merges=[], unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 1)],
    )
    vocabulary = tokenizer.get_vocab()
    rows = np.full((len(vocabulary), 2), [9.0, 0.0], np.float32)
    for capital in "ZS":  # the first token of a name says that it is one
        rows[vocabulary[capital]] = [0, 9]
    tiny.folder(
        tmp_path,
        {"a": [0, 0]},
        kind="RobertaForTokenClassification",
        labels=("O", "B-PER"),
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    graph = tiny.graph(rows, tiny.INPUTS, whole=False, named="RobertaForTokenClassification")
    onnx.save(graph, str(tmp_path / "model.onnx"))
    made = engine(tmp_path, words="first")
    assert [text[s.start : s.end] for s in await made.mark(text, "")] == ["Zoë", "Smith"]
    assert [text[s.start : s.end] for s in await made.mark(text, "so so")] == ["Zoë", "Smith"]
    made.close()
    single = engine(tmp_path, words="token")
    assert [text[s.start : s.end] for s in await single.mark(text, "")] == ["Z", "S"]
    single.close()


def _bytes() -> dict[str, int]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {token: i for i, token in enumerate(["<s>", "</s>", *alphabet])}


async def test_a_decoder_with_an_empty_past(tmp_path: Path) -> None:
    """As Qwen3-Embedding is exported: position_ids, past_key_values, the last token's vector."""
    tiny.folder(tmp_path, {"[SEP]": [3, 4], "cat": [1, 0]}, kind="Qwen3ForCausalLM")
    graph = onnx.load(tmp_path / "model.onnx").graph
    inputs = [
        *(i for i in graph.input if i.name != "token_type_ids"),
        helper.make_tensor_value_info("position_ids", TensorProto.INT64, ["batch", "tokens"]),
        helper.make_tensor_value_info(
            "past_key_values.0.key", TensorProto.FLOAT, ["batch", 8, "past", 128]
        ),
    ]
    nodes = [
        *graph.node[:-1],
        helper.make_node("Shape", ["past_key_values.0.key"], ["shape"]),
        helper.make_node("ReduceProd", ["shape"], ["past"], keepdims=0),
        helper.make_node("Cast", ["past"], ["nothing"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["rows", "nothing"], ["last_hidden_state"]),
    ]
    shape = ["batch", "tokens", 2]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape)
    made = helper.make_graph(
        nodes, "decoder", inputs, [output], initializer=list(graph.initializer)
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(
        helper.make_model(made, opset_imports=[opset], ir_version=9), tmp_path / "model.onnx"
    )
    asking = engine(tmp_path, pooling="last")
    (found,) = await asking.embed(("cat cat",))
    assert found.tolist() == pytest.approx([0.6, 0.8])
    asking.close()


def test_a_folder_named_by_a_path_needs_no_lock(tmp_path: Path) -> None:
    tiny.folder(tmp_path / "mine", TABLE, labels=("a", "b"))
    assert find(str(tmp_path / "mine")).labels == ("a", "b")
