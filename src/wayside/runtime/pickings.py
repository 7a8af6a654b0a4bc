"""Is what the settings say of choosing among a model's servers sound?"""

from __future__ import annotations

from collections.abc import Iterator

from wayside.fleet.picking import profile
from wayside.settings import ModelSettings, PickingSettings, RouterSettings
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.roles import decodes, prefills


def problems(settings: RouterSettings) -> Iterator[Problem]:
    """Everything that is wrong with ``picking`` and ``disaggregation``, wherever they stand."""
    yield from _sound(settings.picking, "picking")
    for name, model in settings.models.items():
        yield from _sound(model.picking, f"models.{name}.picking")
        yield from _apart(model, f"models.{name}")


def _sound(picking: PickingSettings | None, where: str) -> Iterator[Problem]:
    if picking is None:
        return
    try:
        profile(picking, where)
    except ConfigError as error:
        yield from error.problems


def _apart(model: ModelSettings, where: str) -> Iterator[Problem]:
    apart = model.disaggregation
    if apart is None:
        return
    yield from _sound(apart.picking, f"{where}.disaggregation.picking")
    if model.protocol != "openai":
        yield Problem(
            f"a server that speaks {model.protocol} hands over no KV cache",
            f"{where}.disaggregation",
            "leave it out",
        )
    if not model.endpoints or model.discover is not None:
        return  # others find them
    labels = [endpoint.labels for endpoint in model.endpoints]
    if not any(prefills(found, apart.label) for found in labels):
        yield Problem(
            "none of the endpoints reads prompts for others",
            f"{where}.disaggregation",
            f"label one: labels: {{{apart.label}: prefill}}",
        )
    if not any(decodes(found, apart.label) for found in labels):
        yield Problem(
            "none of the endpoints writes answers",
            f"{where}.disaggregation",
            f"label one: labels: {{{apart.label}: decode}}, or leave its label out",
        )
