"""Vectors and likeness of texts (spec: vSR 7.1), by any engine that embeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import sqrt
from operator import mul
from typing import Annotated

from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from wayside.gateway.api import ApiError, Body, Endpoint, at_most, needs_text, parsed, since
from wayside.gateway.heads import Heads
from wayside.vocab.ask import Vector

EMBEDDING = "embedding"
AUTO = "auto"
Priority = Annotated[float, Field(ge=0, le=1)]


class EmbedOptions(Body):
    """Which model, and how long its vectors are."""

    model: str = AUTO
    """An engine that embeds: ``embedding`` (built in) or a name under ``engines``; ``auto``."""
    dimension: int = Field(0, ge=0, le=1 << 16)
    """Keep the first so many numbers, at length one again; 0: all there are."""
    target_layer: int = Field(0, ge=0)
    """0: the whole model. There is no early exit here; anything else is refused."""
    quality_priority: Priority = 0.5
    """``auto`` takes a configured engine when this is above ``latency_priority``."""
    latency_priority: Priority = 0.5
    """``auto`` takes the built-in engine when this is above ``quality_priority``."""


class EmbeddingRequest(EmbedOptions):
    """Texts to embed."""

    texts: list[str] = Field(default_factory=list)
    """``management.max_batch_size`` at most."""
    images: list[str] = Field(default_factory=list)
    """No engine embeds images; refused unless empty."""
    sequence_length: int = Field(0, ge=0)
    """0: texts are measured, never guessed; anything else is refused."""


class SimilarityRequest(EmbedOptions):
    """Two texts to compare."""

    text1: str
    text2: str


class BatchSimilarityRequest(EmbedOptions):
    """One text to compare with several."""

    query: str
    candidates: Annotated[list[str], Field(min_length=1)]
    """``management.max_batch_size`` at most."""
    top_k: int = Field(0, ge=0)
    """How many of the likest are told; 0: all."""


class Embedded(TypedDict):
    text: str
    modality: str
    embedding: list[float]
    dimension: int
    model_used: str
    processing_time_ms: float


class EmbeddingAnswer(TypedDict):
    embeddings: list[Embedded]
    total_count: int
    total_processing_time_ms: float
    avg_processing_time_ms: float


class SimilarityAnswer(TypedDict):
    model_used: str
    similarity: float
    processing_time_ms: float


class Likeness(TypedDict):
    index: int
    similarity: float
    text: str


class BatchSimilarityAnswer(TypedDict):
    matches: list[Likeness]
    total_candidates: int
    model_used: str
    processing_time_ms: float


class EmbeddingModel(TypedDict):
    name: str
    type: str
    kind: str
    loaded: bool
    description: str


class EmbeddingModels(TypedDict):
    models: list[EmbeddingModel]
    default: str
    total: int


class EmbeddingsApi:
    """The handlers. ``max_batch`` is the most texts of one request."""

    def __init__(self, heads: Heads, max_batch: int) -> None:
        self._heads, self._max_batch = heads, max_batch

    def endpoints(self) -> list[Endpoint]:
        one, two = "How do I reset my password?", "I cannot sign in any more."
        return [
            Endpoint(
                "POST",
                "/api/v1/embeddings",
                self.embeddings,
                "Texts as vectors of length one.",
                also="/api/v1/diagnostics/embeddings",
                body=EmbeddingRequest,
                answer=EmbeddingAnswer,
                example={"texts": [one], "dimension": 8},
            ),
            Endpoint(
                "POST",
                "/api/v1/similarity",
                self.similarity,
                "The cosine of two texts.",
                also="/api/v1/diagnostics/similarity",
                body=SimilarityRequest,
                answer=SimilarityAnswer,
                example={"text1": one, "text2": two},
            ),
            Endpoint(
                "POST",
                "/api/v1/similarity/batch",
                self.similarity_batch,
                "The texts that are most like a query.",
                also="/api/v1/diagnostics/similarity/batch",
                body=BatchSimilarityRequest,
                answer=BatchSimilarityAnswer,
                example={"query": one, "candidates": [two, "What is inflation?"], "top_k": 1},
            ),
            Endpoint(
                "GET",
                "/api/v1/embeddings/models",
                self.models,
                "The engines that embed.",
                also="/api/v1/inventory/embedding-models",
                answer=EmbeddingModels,
            ),
        ]

    async def embeddings(self, http: HttpRequest) -> Response:
        began = time.perf_counter()
        body = await parsed(http, EmbeddingRequest)
        if body.images:
            raise ApiError(400, "INVALID_INPUT", "images: no engine embeds images; send texts")
        if body.sequence_length:
            said = "sequence_length: texts are measured here; leave it out"
            raise ApiError(400, "INVALID_INPUT", said)
        if not body.texts:
            raise ApiError(400, "INVALID_INPUT", "texts: is empty; give at least one")
        at_most(body.texts, self._max_batch, "texts")
        name = self._model(body)
        found = await self._vectors(name, body.texts, body, "EMBEDDING_GENERATION_FAILED")
        took = since(began)
        each = round(took / len(found), 4)
        answer: EmbeddingAnswer = {
            "embeddings": [
                {
                    "text": text,
                    "modality": "text",
                    "embedding": list(vector),
                    "dimension": len(vector),
                    "model_used": name,
                    "processing_time_ms": each,
                }
                for text, vector in zip(body.texts, found, strict=True)
            ],
            "total_count": len(found),
            "total_processing_time_ms": took,
            "avg_processing_time_ms": each,
        }
        return JSONResponse(answer)

    async def similarity(self, http: HttpRequest) -> Response:
        began = time.perf_counter()
        body = await parsed(http, SimilarityRequest)
        needs_text(body.text1, "text1")
        needs_text(body.text2, "text2")
        name = self._model(body)
        code = "SIMILARITY_CALCULATION_FAILED"
        one, two = await self._vectors(name, [body.text1, body.text2], body, code)
        answer: SimilarityAnswer = {
            "model_used": name,
            "similarity": _cosine(one, two),
            "processing_time_ms": since(began),
        }
        return JSONResponse(answer)

    async def similarity_batch(self, http: HttpRequest) -> Response:
        began = time.perf_counter()
        body = await parsed(http, BatchSimilarityRequest)
        needs_text(body.query, "query")
        at_most(body.candidates, self._max_batch, "candidates")
        name = self._model(body)
        texts = [body.query, *body.candidates]
        code = "BATCH_SIMILARITY_FAILED"
        query, *others = await self._vectors(name, texts, body, code)
        scores = [_cosine(query, other) for other in others]
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
        answer: BatchSimilarityAnswer = {
            "matches": [
                {"index": i, "similarity": scores[i], "text": body.candidates[i]}
                for i in order[: body.top_k or None]
            ],
            "total_candidates": len(scores),
            "model_used": name,
            "processing_time_ms": since(began),
        }
        return JSONResponse(answer)

    async def models(self, _: HttpRequest) -> Response:
        models: list[EmbeddingModel] = [
            {
                "name": known.name,
                "type": "embedding",
                "kind": known.kind,
                "loaded": known.loaded,
                "description": known.summary,
            }
            for known in self._heads.stock()
            if "embed" in known.tasks
        ]
        answer: EmbeddingModels = {
            "models": models,
            "default": EMBEDDING,
            "total": len(models),
        }
        return JSONResponse(answer)

    def _model(self, body: EmbedOptions) -> str:
        """The engine asked for. ``auto`` weighs the two priorities; equal ones take ours."""
        if body.target_layer:
            said = "target_layer: no engine here stops early; leave it out"
            raise ApiError(400, "INVALID_INPUT", said)
        there = {s.name: s for s in self._heads.stock() if "embed" in s.tasks}
        if body.model in ("", AUTO):
            chosen = [s.name for s in there.values() if s.kind != "built_in"]
            wants_quality = body.quality_priority > body.latency_priority
            return chosen[0] if chosen and wants_quality else EMBEDDING
        if there and body.model not in there:
            names = ", ".join([AUTO, *there])
            said = f"model: no engine of this name embeds; there are: {names}"
            raise ApiError(400, "INVALID_INPUT", said)
        return body.model

    async def _vectors(
        self, name: str, texts: Sequence[str], body: EmbedOptions, code: str
    ) -> list[Vector]:
        found = await self._heads.vectors(name, tuple(texts), code)
        size = min(map(len, found))
        if body.dimension > size:
            said = f"dimension: {name} has {size}, less than {body.dimension}"
            raise ApiError(400, "INVALID_INPUT", said)
        return [_cut(vector, body.dimension) for vector in found] if body.dimension else found


def _cut(vector: Vector, dimension: int) -> Vector:
    """The first numbers of a vector, at length one again (Matryoshka, arXiv:2205.13147)."""
    kept = vector[:dimension]
    length = sqrt(sum(map(mul, kept, kept)))
    return tuple(x / length for x in kept) if length else kept


def _cosine(one: Vector, two: Vector) -> float:
    found = float(sum(map(mul, one, two)))
    return round(max(-1.0, min(1.0, found)), 6)
