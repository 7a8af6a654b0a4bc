"""Models that answer the core's asks. The only code that runs inference.

An engine ranks labels, finds pieces of a text, or turns texts into vectors. The built-in ones are
in the wheel and answer in microseconds; the others (one file a kind) come from the settings
section ``engines`` and may take a built-in name.
"""

from __future__ import annotations

from wayside.engines.base import Engine, Tools
from wayside.engines.built_in import BUILT_IN
from wayside.engines.registry import Engines

__all__ = ["BUILT_IN", "Engine", "Engines", "Tools"]
