"""The pages of a vLLM server that are not OpenAI's: probes, sleep, tokens, adapters, caches.

Sources: vLLM 0.10 and 0.11, vllm/entrypoints/openai/api_server.py and serving_models.py. vLLM
shows some of them only in its development mode, and loads adapters only where it is allowed to;
here they are always there.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from .ask import Body, read_body, read_chat
from .exposition import exposition
from .gpu import TEXT, gpu_page
from .refusal import Refusal
from .tokens import token_ids, token_text
from .wire import Request

if TYPE_CHECKING:
    from .replica import Replica

VLLM_VERSION = "0.10.2"
"""The version of vLLM whose behaviour is copied."""
JSON = "application/json"
_MOST_TOKEN = 2**31 - 1

Page = tuple[int, bytes, str]
"""Status, body and content type."""


class Admin:
    """The pages of one server."""

    def __init__(self, replica: "Replica") -> None:
        self._replica = replica
        self.routes: dict[str, dict[str, Callable[[Request], Awaitable[Page]]]] = {
            "/sleep": {"POST": self._sleep},
            "/wake_up": {"POST": self._wake_up},
            "/reset_prefix_cache": {"POST": self._reset},
            "/tokenize": {"POST": self._tokenize},
            "/detokenize": {"POST": self._detokenize},
            "/v1/load_lora_adapter": {"POST": self._load_adapter},
            "/v1/unload_lora_adapter": {"POST": self._unload_adapter},
        }

    def probe(self, request: Request) -> Page | None:
        """The page for a request that is not counted; None if it is no probe."""
        replica = self._replica
        if request.path in ("/health", "/ping", "/ready"):
            return (200 if replica.healthy else 503), b"", TEXT
        if replica.is_provider:
            return None
        stats = replica.stats
        match request.path:
            case "/metrics":
                engines = tuple(replica.engines.values())
                page = exposition(engines, replica.settings.metrics, replica.today())
                return 200, page.encode(), TEXT
            case "/gpu_metrics":
                return 200, gpu_page([replica.gpu()]).encode(), TEXT
            case "/version":
                return _json({"version": VLLM_VERSION})
            case "/load":
                return _json({"server_load": stats.running + stats.waiting})
            case "/get_load":
                return 200, json.dumps([self._sglang_load()]).encode(), JSON
            case "/is_sleeping":
                return _json({"is_sleeping": replica.life.asleep})
            case _:
                return None

    def _sglang_load(self) -> dict[str, int]:
        """What SGLang's servers tell of one data-parallel rank; its router asks for it."""
        engines = self._replica.engines.values()
        stats = self._replica.stats
        held = sum(e.kv_usage() * e.kv.capacity * e.kv.block_size for e in engines)
        return {
            "dp_rank": 0,
            "num_reqs": stats.running + stats.waiting,
            "num_waiting_reqs": stats.waiting,
            "num_tokens": round(held),
        }

    async def _sleep(self, request: Request) -> Page:
        level = parse_qs(request.target.partition("?")[2]).get("level", ["1"])[-1]
        if level not in ("1", "2"):
            raise Refusal(400, "'level' must be 1 or 2", param="level")
        self._replica.sleep()
        return 200, b"", TEXT

    async def _wake_up(self, request: Request) -> Page:
        self._replica.life.asleep = False
        return 200, b"", TEXT

    async def _reset(self, request: Request) -> Page:
        for engine in self._replica.engines.values():
            engine.kv.clear()
        return 200, b"", TEXT

    async def _tokenize(self, request: Request) -> Page:
        body = dict(read_body(request.body))
        engine = self._replica.served.engine(body.setdefault("model", self._replica.first_model))
        if "messages" in body:
            text = read_chat(body).prompts[0].text
        elif isinstance(body.get("prompt"), str):
            text = body["prompt"]
        else:
            raise Refusal(400, "'prompt' must be text, or give 'messages'", param="prompt")
        ids = token_ids(text)
        most = engine.model.max_model_len
        return _json({"count": len(ids), "max_model_len": most, "tokens": ids, "token_strs": None})

    async def _detokenize(self, request: Request) -> Page:
        ids = read_body(request.body).get("tokens")
        if not isinstance(ids, list) or not all(_is_token(number) for number in ids):
            raise Refusal(400, "'tokens' must be a list of token ids", param="tokens")
        return _json({"prompt": token_text(ids)})

    async def _load_adapter(self, request: Request) -> Page:
        body = read_body(request.body)
        name, path = _text(body, "lora_name"), _text(body, "lora_path")
        if not name or not path:
            raise Refusal(400, "Both 'lora_name' and 'lora_path' must be provided.")
        engine = self._replica.engines[self._replica.first_model]
        if not engine.adapters.limit:
            raise Refusal(400, "LoRA is not enabled; set max_loras of the model.")
        if self._replica.served.knows(name):
            raise Refusal(400, f"The lora adapter '{name}' has already been loaded.")
        await asyncio.sleep(engine.model.lora_load_s)
        engine.adapters.load(name, path, self._replica.clock() - engine.model.lora_load_s)
        return 200, f"Success: LoRA adapter '{name}' added successfully.".encode(), TEXT

    async def _unload_adapter(self, request: Request) -> Page:
        name = _text(read_body(request.body), "lora_name")
        if not name:
            raise Refusal(400, "'lora_name' needs to be provided to unload a LoRA adapter.")
        for engine in self._replica.engines.values():
            if name in engine.adapters.paths:
                engine.adapters.unload(name)
                return 200, f"Success: LoRA adapter '{name}' removed successfully.".encode(), TEXT
        raise Refusal(404, f"The lora adapter '{name}' cannot be found.")


def _json(body: dict[str, Any]) -> Page:
    return 200, json.dumps(body).encode(), JSON


def _text(body: Body, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Refusal(400, f"'{name}' must be text", param=name)
    return value


def _is_token(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= _MOST_TOKEN
