"""The dated name a provider answers with when it is asked for a model by its plain name."""

import re

from .settings import SimModel

# What api.openai.com resolved each name to, from the model pages of its documentation, 2025.
_DATED = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-4": "gpt-4-0613",
    "gpt-4-turbo": "gpt-4-turbo-2024-04-09",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "o1": "o1-2024-12-17",
    "o3": "o3-2025-04-16",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
}
_HAS_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")
_MADE_UP = "2025-01-01"


def dated_name(model: SimModel) -> str:
    """`version` if the settings give one, else the known dated name, else one made up."""
    if model.version is not None:
        return model.version
    if model.name in _DATED:
        return _DATED[model.name]
    if _HAS_DATE.search(model.name) or "embedding" in model.name:
        return model.name
    return f"{model.name}-{_MADE_UP}"
