"""A model as Hugging Face's libraries save it: a folder with a few JSON files beside the weights.

Only data is read: JSON and, by others, ONNX or safetensors. Pickled weights (``.bin``, ``.pt``)
run code when they are opened, so they are never used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from wayside.engines import store
from wayside.engines.heads import Pooling
from wayside.engines.known import KNOWN, Known, repository
from wayside.settings import Task
from wayside.settings.problems import suggest

ONNX_FILES: Final = ("model_int8.onnx", "model_quantized.onnx", "model.onnx")
"""The smaller first; looked for in the folder and in ``onnx/``."""
MAX_JSON_BYTES: Final = 64 << 20
_TASKS: Final[tuple[tuple[str, Task], ...]] = (
    ("ForSequenceClassification", "classify"),
    ("ForTokenClassification", "mark"),
)


@dataclass(frozen=True)
class Folder:
    """What a model folder says of its model. Raises ``ValueError`` for what cannot be used."""

    path: Path
    known: Known | None = None

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.json``."""
        found: dict[str, Any] | None = self._json("config.json")
        if found is None:
            raise ValueError(f"{self.path} has no config.json, so it is no model folder")
        return found

    @property
    def tokenizer(self) -> Path:
        path = self.path / "tokenizer.json"
        if not path.is_file():
            raise ValueError(
                f"{self.path} has no tokenizer.json; save one with transformers: "
                "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
            )
        return path

    @property
    def task(self) -> Task:
        """What the model was trained for, by its architecture's name."""
        if self.known:
            return self.known.task
        architectures = self.config.get("architectures") or []
        for name in architectures if isinstance(architectures, list) else []:
            for ending, task in _TASKS:
                if str(name).endswith(ending):
                    return task
        return "embed"

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's own names, in the order of its outputs; none if it has no labels."""
        named = _in_order(self.config.get("id2label"))
        if named and not all(name.startswith("LABEL_") for name in named):
            return named
        # vSR keeps names beside models that were saved without them
        for path in sorted(self.path.glob("*_mapping.json")):
            mapping = self._json(path.name) or {}
            for key, value in mapping.items():
                if key == "id2label" or key.startswith("idx_to_"):
                    beside = _in_order(value)
                    if beside and len(beside) == (len(named) or len(beside)):
                        return beside
        return named

    @property
    def several(self) -> bool:
        """Whether labels do not exclude each other: one sigmoid each instead of a softmax."""
        return (
            self.config.get("problem_type") == "multi_label_classification"
            or len(self.labels) == 1
        )

    @property
    def longest(self) -> int:
        """How many tokens the model can read, special ones included."""
        found = self.config.get("max_position_embeddings")
        longest = found if isinstance(found, int) and found > 0 else 512
        if self.config.get("model_type") in _OFFSET_POSITIONS:
            longest -= int(self.config.get("pad_token_id") or 0) + 1
        told = (self._json("sentence_bert_config.json") or {}).get("max_seq_length")
        return min(longest, told) if isinstance(told, int) and told > 0 else longest

    @property
    def pooling(self) -> Pooling:
        """How a text's vector is made of its tokens', as sentence-transformers notes it."""
        told = self._json("1_Pooling/config.json") or {}
        mode = told.get("pooling_mode")
        if told.get("pooling_mode_cls_token") or mode == "cls":
            return "cls"
        if told.get("pooling_mode_lasttoken") or mode in ("lasttoken", "last"):
            return "last"
        if told.get("pooling_mode_mean_tokens") or mode == "mean":
            return "mean"
        if told:
            raise ValueError(
                f"{self.path}/1_Pooling asks for a pooling other than mean, cls, last"
            )
        return "last" if self.known and self.known.pooling == "last" else "mean"

    @property
    def dense(self) -> bool:
        """Whether more layers follow the pooling, which only a graph of its own contains."""
        modules = self._json("modules.json", of=list) or []
        return any(str(m.get("type", "")).endswith(".Dense") for m in modules)

    def onnx(self, file: str | None) -> Path:
        """The graph to run: ``file``, or the first of :data:`ONNX_FILES` that is there."""
        if file is not None:
            return self._inside(file)
        for name in ONNX_FILES:
            for path in (self.path / name, self.path / "onnx" / name):
                if path.is_file():
                    return path
        there = [str(p.relative_to(self.path)) for p in sorted(self.path.rglob("*.onnx"))[:20]]
        if there:
            raise ValueError(f"choose one with `file`: {', '.join(there)}")
        raise ValueError(
            f"{self.path} holds no .onnx file; use the `torch` kind, or export it: "
            f"optimum-cli export onnx --model {self.path} {self.path}"
        )

    def _inside(self, file: str) -> Path:
        path = (self.path / file).resolve()
        if not path.is_relative_to(self.path.resolve()):
            raise ValueError(f"file {file!r} is outside of the model's folder {self.path}")
        if not path.is_file():
            there = [str(p.relative_to(self.path)) for p in sorted(self.path.rglob("*.onnx"))[:20]]
            raise ValueError(f"{self.path} has no {file}; {suggest(file, there, 'there are')}")
        return path

    def _json(self, name: str, of: type[Any] = dict) -> Any:
        path = self.path / name
        if not path.is_file():
            return None
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"{path} is larger than {MAX_JSON_BYTES >> 20} MB")
        try:
            found = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        if not isinstance(found, of):
            what = "list" if of is list else "object"
            raise ValueError(f"{path} is not a JSON {what}")  # noqa: TRY004 - a bad value
        return found


_OFFSET_POSITIONS: Final = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
"""Families that count positions from the padding token's number plus one."""


def find(model: str) -> Folder:
    """The folder of a model: a path, or the name of one that ``wayside models pull`` brought.

    ``ValueError`` says how to get it, and what was perhaps meant.
    """
    known_as = repository(model)
    known = KNOWN[known_as] if known_as else None
    path = Path(model).expanduser()
    if path.is_dir():
        return Folder(path, known)
    name = known_as or model
    if store.is_repository(name):
        path = store.folder_of(name)
        if store.lock_of(path) is not None:
            return Folder(path, known)
        if path.is_dir():
            raise ValueError(f"{path} was not pulled to its end; run: wayside models pull {name}")
    if known_as:
        raise ValueError(f"{known_as} is not on this machine; run: wayside models pull {known_as}")
    short = [alias for m in KNOWN.values() for alias in m.aliases]
    there = [*KNOWN, *(full.partition("/")[2] for full in KNOWN), *short, *store.pulled()]
    hint = suggest(model, there)
    if not hint.startswith("did you mean"):
        hint = "give the path of a folder, or a repository to pull"
    pull = f", or run: wayside models pull {model}" if store.is_repository(model) else ""
    raise ValueError(f"no folder and no pulled model {model!r}; {hint}{pull}")


def _in_order(mapping: Any) -> tuple[str, ...]:
    """``{"1": "b", "0": "a"}`` as ``("a", "b")``; nothing for what is no such mapping."""
    if not isinstance(mapping, Mapping):
        return ()
    try:
        by_number = {int(key): str(name) for key, name in mapping.items()}
    except (TypeError, ValueError):
        return ()
    if set(by_number) != set(range(len(by_number))):
        return ()
    return tuple(by_number[i] for i in range(len(by_number)))
