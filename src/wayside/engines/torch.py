"""Runs a model's safetensors weights with PyTorch and transformers, where there is no ONNX graph.

Both are optional and large; they are imported when such an engine is made. Weights are read from
safetensors only and no code from the folder is run.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from wayside.catalog import catalog
from wayside.engines.encoder import Encoder, EncoderSettings, Ids, Network
from wayside.engines.folder import Folder
from wayside.engines.windows import Rows
from wayside.settings import Task


class TorchSettings(EncoderSettings):
    """A model in Hugging Face's format with safetensors weights.

    Example: ``{model: llm-semantic-router/mmbert32k-intent-classifier-merged, device: cuda}``
    """

    device: Annotated[str, Field(pattern=r"^(cpu|mps|cuda(:\d{1,2})?)$")] = "cpu"
    """Where it runs: cpu, cuda, cuda:1 or mps."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of weights and sums."""


@catalog.register("engine", "torch", settings=TorchSettings)
class TorchEncoder(Encoder):
    """Runs a classifier, token classifier or embedder with PyTorch."""

    def network(self, folder: Folder, rule: TorchSettings) -> Network:
        if folder.dense:
            raise ValueError(
                f"{folder.path} has layers after its pooling; use the `onnx` kind with a graph "
                "that holds them"
            )
        return Weights(folder, self._task, rule)


class Weights:
    """A loaded model; ``ImportError`` names the extra, ``ValueError`` what is wrong with it."""

    def __init__(self, folder: Folder, task: Task, rule: TorchSettings) -> None:
        try:
            import torch

            transformers: Any = import_module("transformers")  # its types are not complete
        except ImportError as error:
            raise ImportError(
                f"the {error.name!r} package is not installed; pip install 'wayside[torch]'"
            ) from error
        transformers.utils.logging.disable_progress_bar()
        self._torch, self._device = torch, rule.device
        torch.set_num_threads(rule.threads)  # PyTorch has one such number for the process
        auto = {
            "classify": transformers.AutoModelForSequenceClassification,
            "mark": transformers.AutoModelForTokenClassification,
            "embed": transformers.AutoModel,
        }[task]
        try:
            model = auto.from_pretrained(
                str(folder.path),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=getattr(torch, rule.dtype),
            )
            self._model: Any = model.to(rule.device).eval()
        except Exception as error:
            first = str(error).strip().partition("\n")[0][:300]
            raise ValueError(f"{folder.path} cannot be loaded: {first}") from error
        self._wants_types = int(folder.config.get("type_vocab_size") or 0) > 1

    def __call__(self, ids: Ids, mask: Ids, types: Ids) -> Rows:
        torch = self._torch
        feeds = {"input_ids": ids, "attention_mask": mask}
        if self._wants_types:
            feeds["token_type_ids"] = types
        with torch.inference_mode():
            given = {name: torch.from_numpy(a).to(self._device) for name, a in feeds.items()}
            found = self._model(**given)
            logits = getattr(found, "logits", None)
            chosen = found.last_hidden_state if logits is None else logits
            rows: Rows = chosen.float().cpu().numpy().astype(np.float32)
        return rows
