"""What vLLM's servers do beside OpenAI's API, passed on to one that serves the model: token counts
(``/tokenize``, ``/detokenize``), reranking and scoring. Source: vLLM's documentation,
"OpenAI-Compatible Server", "Tokenizer API", "Re-rank API" and "Score API".

Nothing is decided: the request names its model. Guards do not know these bodies, so where they
judge requests that name a model (``guard_recipe``) these are refused rather than sent unread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import msgspec

from wayside.dialects import Body, Edit, check_once
from wayside.dialects.openai_embeddings import PATH as EMBEDDINGS
from wayside.flow import MODEL, Policy, executed, named
from wayside.flow.access import admitted
from wayside.flow.protocols import upstream_path
from wayside.gateway.further import Found
from wayside.vocab.ask import Flow
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Forward, Outcome, Request, Target

PATHS = ("/tokenize", "/detokenize", "/rerank", "/v1/rerank", "/score", "/v1/score")
FREE = ("/tokenize", "/detokenize")
"""No model is run for these."""


class _Named(NamedTuple):
    """What limits want to know of such a body."""

    model: str
    stream: bool = False


class PassingApi:
    """Sends such requests where the model is. ``drive`` runs what has to ask on the way."""

    def __init__(
        self, policy: Callable[[], Policy], drive: Callable[[Flow[Outcome]], Found]
    ) -> None:
        self._policy, self._drive = policy, drive

    def asked(self, request: Request) -> Found:
        forward = self._sent(request)
        caller, model = request.caller, forward.record.requested
        if caller is None:
            return forward
        if not forward.record.billed:
            return msgspec.structs.replace(
                forward, record=msgspec.structs.replace(forward.record, caller=caller)
            )
        # Nothing is written, as with embeddings, so nothing is set aside for an answer.
        like = msgspec.structs.replace(request, path=EMBEDDINGS)
        body = cast(Body, _Named(model))
        going = admitted(caller, like, body, lambda _, __: forward)
        return self._drive(executed.told(request.body, model, going))

    def _sent(self, request: Request) -> Forward:
        policy = self._policy()
        path = request.path.partition("?")[0]
        edit = Edit(request.body)
        check_once(request.body, MODEL)
        name = edit.get("model")
        if not isinstance(name, str) or not name:
            raise RequestError("The request names no model.", param="model")
        if name in policy.virtual:
            said = f"{path} asks one model; {name!r} names none. GET /v1/models lists them."
            raise RequestError(said, param="model")
        served = named(policy, name, request.caller)
        target = served.target
        if policy.guard is not None or target.protocol != "openai":
            why = "guards have to judge what it says" if policy.guard else "its servers have none"
            raise RequestError(
                f"{path} cannot be asked of model {name!r}: {why}.", code="unsupported_endpoint"
            )
        body = request.body
        if served.upstream_name != name:
            edit.set("model", served.upstream_name)
            body = edit.encode()
        record = msgspec.structs.replace(served.record, requested=name, billed=path not in FREE)
        return Forward(
            target=target,
            path=_upstream(target, request.path),
            body=body,
            changed=body is not request.body,
            set_headers=served.set_headers(request.headers),
            remove_headers=served.remove,
            report=served.report,
            record=record,
        )


def _upstream(target: Target, path: str) -> str:
    """Servers have ``/tokenize`` beside ``/v1``, not under it."""
    if path.startswith("/v1/"):
        return upstream_path(target, path)
    root = target.base_path.removesuffix("/v1")
    return f"{root}{path}"
