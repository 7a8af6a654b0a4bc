"""Labels from a classifier behind HTTP: vLLM's ``/classify``, TEI's ``/predict``, or your own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.engines.base import Engine, Tools
from wayside.engines.ranked import (
    RemotePartsSettings,
    at_path,
    in_parts,
    marked_in_parts,
    read_ranking,
    read_spans,
)
from wayside.net.http import Client
from wayside.settings import Task
from wayside.vocab.ask import Labels, Spans
from wayside.vocab.errors import AskFailed

PATHS = {"vllm": "/classify", "tei": "/predict", "wayside": ""}


class HttpClassifySettings(RemotePartsSettings):
    """A classifier behind a server.

    Example: ``{base_url: "http://guard:8000", format: vllm, labels: [benign, jailbreak]}``
    """

    format: Literal["vllm", "tei", "wayside"]
    """How it is asked: as vLLM's ``/classify``, TEI's ``/predict``, or ``wayside``: the text in
    one field, a ranking (or spans) somewhere in the answer."""
    task: Literal["classify", "mark"] = "classify"
    """Whether it ranks labels or, in the `wayside` format, finds pieces of a text."""
    model: Annotated[str, Field(max_length=1024)] = ""
    """As the server calls it; sent when it is not empty."""
    labels: tuple[str, ...] = ()
    """Names of its outputs, in their order; vLLM answers with bare numbers, so it needs them."""
    rename: dict[str, str] = Field(default_factory=dict)
    """Its labels, and yours; two that get one name add up."""
    several: bool = False
    """Its labels may apply together, so their scores do not add up to one."""
    path: Annotated[str, Field(pattern=r"^(/[!-~]*)?$")] | None = None
    """Under `base_url`; absent: `/classify`, `/predict`, or nothing for `wayside`."""
    text_field: Annotated[str, Field(min_length=1)] = "text"
    """In the `wayside` format: where the text goes in the request."""
    read: str = ""
    """In the `wayside` format: where the ranking is in the answer: ``result.0.scores``."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request."""

    @model_validator(mode="after")
    def _for_its_format(self) -> HttpClassifySettings:
        if self.format == "vllm" and not self.labels:
            raise ValueError("vLLM answers with bare numbers: list the names of them in `labels`")
        if self.format != "wayside":
            for key in ("text_field", "read", "task"):
                if key in self.model_fields_set and getattr(self, key) != "classify":
                    raise ValueError(f"`{key}` belongs to the format wayside, not {self.format}")
        return self


@catalog.register("engine", "http_classify", settings=HttpClassifySettings)
class HttpClassify(Engine):
    """Asks a classification server: vLLM, TEI, or your own."""

    def __init__(self, rule: HttpClassifySettings, tools: Tools) -> None:
        self._client = Client(rule, tools)
        self._rule = rule
        self._path = PATHS[rule.format] if rule.path is None else rule.path
        self.tasks = self.tasks_of(rule)
        self.labels = tuple(dict.fromkeys(rule.rename.get(x, x) for x in rule.labels))

    @classmethod
    def tasks_of(cls, rule: HttpClassifySettings) -> frozenset[Task]:
        return frozenset([rule.task])

    async def classify(self, text: str) -> Labels:
        return await in_parts(text, self._rule, self._ranking)

    async def mark(self, text: str, context: str) -> Spans:
        return await marked_in_parts(text, self._rule, lambda part: self._spans(part, context))

    def close(self) -> None:
        self._client.close()

    async def _spans(self, text: str, context: str) -> Spans:
        body = {self._rule.text_field: text, **self._rule.extra_body}
        if self._rule.model:
            body["model"] = self._rule.model
        if context:
            body["context"] = context
        found = at_path(await self._client.ask(self._path, body), self._rule.read or "spans")
        try:
            return read_spans(found, len(text), self._rule.rename)
        except AskFailed as error:
            raise self._client.failed(str(error)) from error

    async def _ranking(self, text: str) -> Labels:
        rule = self._rule
        body: dict[str, Any]
        if rule.format == "vllm":
            body = {"input": text}
        elif rule.format == "tei":
            body = {"inputs": text, "raw_scores": False, "truncate": True}
        else:
            body = {rule.text_field: text}
        if rule.model:
            body["model"] = rule.model
        reply = await self._client.ask(self._path, {**body, **rule.extra_body})
        where = {"vllm": "data.0.probs", "tei": "", "wayside": rule.read}[rule.format]
        found = at_path(reply, where)
        if isinstance(found, list) and found and isinstance(found[0], list):
            found = found[0]  # TEI's answer to a batch of one
        try:
            ranking = read_ranking(found, rule.labels, several=rule.several, certainty=1.0)
        except AskFailed as error:
            raise self._client.failed(f"{error} (at {where or 'the top'})") from error
        renamed: dict[str, float] = {}
        for label, score in ranking:
            name = rule.rename.get(label, label)
            renamed[name] = renamed.get(name, 0.0) + score
        return tuple(sorted(renamed.items(), key=lambda pair: -pair[1]))
