"""Runs a model's ONNX graph with ONNX Runtime (63 MB), on a CPU, without PyTorch."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from wayside.catalog import catalog
from wayside.engines.encoder import Encoder, EncoderSettings, Ids, Network
from wayside.engines.folder import Folder
from wayside.engines.windows import Rows
from wayside.settings import Task

INT8 = "model_int8.onnx"


class OnnxSettings(EncoderSettings):
    """A model in Hugging Face's format with an ONNX graph.

    Example: ``{model: llm-semantic-router/mmbert32k-intent-classifier-merged, threads: 2}``
    """

    file: str | None = Field(None, min_length=1, max_length=1024)
    """The graph in the folder; absent: model_int8.onnx, model_quantized.onnx or model.onnx."""
    int8: bool = False
    """Make 8-bit weights of a 32-bit graph once and use them: about a quarter of the memory."""


@catalog.register("engine", "onnx", settings=OnnxSettings)
class OnnxEncoder(Encoder):
    """Runs a classifier, token classifier or embedder with ONNX Runtime."""

    def network(self, folder: Folder, rule: OnnxSettings) -> Network:
        path = folder.onnx(rule.file)
        if rule.int8 and "int8" not in path.name and "quantized" not in path.name:
            path = int8_of(path)
        return Graph(path, self._task, rule.threads, pooled_elsewhere=folder.dense)


class Graph:
    """A loaded graph, its inputs matched by name and its output by name and shape."""

    def __init__(
        self, path: Path, task: Task, threads: int = 1, *, pooled_elsewhere: bool = False
    ) -> None:
        """``ImportError`` names the extra to install; ``ValueError`` what does not fit.

        ``pooled_elsewhere``: the vector is made by layers after the pooling, so only a graph
        that holds those layers will do.
        """
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A thread that spins between asks would take the core from the event loop.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Freed memory is kept by the arena otherwise: one long prompt would cost forever.
        options.enable_cpu_mem_arena = False
        try:
            self._session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ValueError(f"{path} cannot be loaded: {_line(error)}") from error
        self._inputs = {i.name: i for i in self._session.get_inputs()}
        for name in self._inputs:
            if name not in _FEEDS and not name.startswith("past_key_values"):
                raise ValueError(
                    f"{path} wants an input {name!r}; known are {', '.join(sorted(_FEEDS))}"
                )
        self._output = _output(self._session.get_outputs(), task, path, pooled_elsewhere)

    def __call__(self, ids: Ids, mask: Ids, types: Ids) -> Rows:
        feeds: dict[str, Any] = {}
        for name, wanted in self._inputs.items():
            if name == "input_ids":
                value: Any = ids
            elif name == "attention_mask":
                value = mask
            elif name == "token_type_ids":
                value = types
            elif name == "position_ids":
                value = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
            else:  # a decoder's memory, which is empty at the beginning
                value = np.zeros(_empty(wanted.shape, len(ids)), np.float32)
            feeds[name] = np.ascontiguousarray(value, _DTYPES.get(wanted.type, np.int64))
        (found,) = self._session.run([self._output], feeds)
        rows: Rows = np.asarray(found, np.float32)
        return rows


def int8_of(path: Path) -> Path:
    """The graph with 8-bit weights, made once beside the 32-bit one (or in the temporary folder).

    Dynamic quantisation: weights are stored in 8 bits, activations are scaled as they come.
    """
    made = path.with_name(INT8)
    if made.is_file() and made.stat().st_mtime >= path.stat().st_mtime:
        return made
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ImportError(
            "int8 needs the 'onnx' package; pip install onnx, or pull a graph that is quantised"
        ) from error
    try:
        part = made.with_name(f".{INT8}.part")
        part.touch()
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="wayside-int8-"))
        made, part = folder / INT8, folder / f".{INT8}.part"
    try:
        # Scales per channel: a MiniLM's vectors keep a cosine of .994 to the exact ones, and .96
        # with one scale per matrix, for an eighth more time.
        quantize_dynamic(str(path), str(part), per_channel=True, weight_type=QuantType.QInt8)
    except Exception as error:
        part.unlink(missing_ok=True)
        raise ValueError(f"{path} cannot be made 8-bit: {_line(error)}") from error
    part.replace(made)
    return made


_FEEDS = frozenset(["input_ids", "attention_mask", "token_type_ids", "position_ids"])
_DTYPES: dict[str, Any] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
_NAMES: dict[Task, tuple[str, ...]] = {
    "classify": ("logits", "output"),
    "mark": ("logits", "output"),
    "embed": ("sentence_embedding", "last_hidden_state", "token_embeddings", "hidden_states"),
}


def _output(outputs: list[Any], task: Task, path: Path, pooled_elsewhere: bool) -> str:
    """The output that answers the task: by its usual name, else the only one that fits."""
    dims = {"classify": (2,), "mark": (3,), "embed": (2, 3)}[task]
    other = {name for names in _NAMES.values() for name in names} - {*_NAMES[task]}
    fitting: list[str] = [
        o.name for o in outputs if o.name not in other and (not o.shape or len(o.shape) in dims)
    ]
    wanted = [name for name in _NAMES[task] if name in fitting]
    if pooled_elsewhere and "sentence_embedding" not in [o.name for o in outputs]:
        raise ValueError(
            f"{path} ends before the layers after its pooling; export it with an output "
            "called sentence_embedding, as optimum-cli does for sentence-transformers"
        )
    if wanted:
        return wanted[0]
    if len(fitting) == 1:
        return fitting[0]
    shapes = ", ".join(f"{o.name} {o.shape}" for o in outputs)
    raise ValueError(f"{path} has no output to {task} with; it has {shapes}")


def _empty(shape: list[Any], batch: int) -> list[int]:
    """A symbolic shape with no past: the first dimension is the batch, other unknown ones 0."""
    known = [size if isinstance(size, int) else 0 for size in shape]
    return [batch, *known[1:]]


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "the 'onnxruntime' package is not installed; pip install 'wayside[onnx]'"
        ) from error
    return onnxruntime


def _line(error: Exception) -> str:
    """The first line of a library's message, without its error numbers."""
    text = str(error).strip().partition("\n")[0]
    return re.sub(r"^\[[A-Za-z:]+\] : \d+ : [A-Z_]+ : ", "", text)[:300] or type(error).__name__
