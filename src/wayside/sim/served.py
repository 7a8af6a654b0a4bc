"""The models of one server, their other names and their adapters."""

from typing import Any

from .engine import Engine
from .refusal import Refusal
from .settings import SimModel, SimServer
from .versions import dated_name


class Served:
    """Finds the engine for a name, and tells what names there are."""

    def __init__(self, settings: SimServer, engines: dict[str, Engine], started: int) -> None:
        """`started` is the Unix time that models are said to have been made."""
        self._settings = settings
        self._engines = engines
        self._started = started
        self._names = self._all_names()

    def knows(self, name: str) -> bool:
        """Whether it serves a model or an adapter of that name."""
        return name in self._names or self.adapter(name) is not None

    def adapter(self, name: str) -> str | None:
        """The name, if it is an adapter's."""
        return name if any(name in e.adapters.paths for e in self._engines.values()) else None

    def engine(self, name: str) -> Engine:
        """The engine that answers for a model or an adapter of that name; 404 if none does."""
        engine = self._names.get(name)
        if engine is None:
            engines = self._engines.values()
            engine = next((e for e in engines if name in e.adapters.paths), None)
        if engine is None:
            more = " or you do not have access to it" if self._is_provider else ""
            raise Refusal(
                404,
                f"The model `{name}` does not exist{more}.",
                param=None if self._is_provider else "model",
                code="model_not_found",
            )
        return engine

    def echoed(self, asked: str) -> str:
        """The name that an answer has when a model was asked for by this one."""
        return self.adapter(asked) or self._echoed(self.engine(asked).model)

    def cards(self) -> list[dict[str, Any]]:
        """Every name, as /v1/models lists it."""
        names = [n for m in self._settings.models for n in (m.name, *m.aliases)]
        names += [name for engine in self._engines.values() for name in engine.adapters.paths]
        return [self.card(name) for name in names]

    def card(self, name: str) -> dict[str, Any]:
        """One of them; 404 if there is none of that name."""
        engine = self.engine(name)
        card: dict[str, Any] = {"id": name, "object": "model", "created": self._started}
        if self._is_provider:
            return {**card, "owned_by": "system"}
        model = engine.model
        more = {"root": model.name, "parent": None, "max_model_len": model.max_model_len}
        if name not in self._names:
            more = {"root": engine.adapters.paths[name] or name, "parent": model.name}
        return {**card, "owned_by": "vllm", **more}

    @property
    def _is_provider(self) -> bool:
        return self._settings.provider is not None

    def _all_names(self) -> dict[str, Engine]:
        names = {}
        for model in self._settings.models:
            engine = self._engines[model.name]
            for name in (self._echoed(model), model.name, *model.aliases):
                names[name] = engine
        return names

    def _echoed(self, model: SimModel) -> str:
        return dated_name(model) if self._is_provider else model.name
