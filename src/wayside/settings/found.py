"""What is said of models that are found in a cluster, checked before there are any."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from wayside.settings.model import ModelSettings, RouterSettings
from wayside.settings.problems import problems_from
from wayside.vocab.errors import ConfigError

WHERE: Final = "registry.defaults"
_OWN: Final = ("endpoints", "discover", "aliases", "loras", "upstream_name")


def defaults_of(settings: RouterSettings) -> ModelSettings | None:
    """``registry.defaults`` as the settings of a model; ``None`` where there are none. Raises
    :class:`ConfigError` with the path of each mistake."""
    given = settings.registry.defaults if settings.registry is not None else {}
    if not given:
        return None
    for key in _OWN:
        if key in given:
            said = "is of each model that is found, and not of all"
            raise ConfigError.one(said, where=f"{WHERE}.{key}", fix="leave it out")
    try:
        return ModelSettings.model_validate(given)
    except ValidationError as error:
        raise ConfigError(problems_from(error, ModelSettings, WHERE)) from None
