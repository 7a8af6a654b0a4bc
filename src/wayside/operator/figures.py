"""Numbers that objects' ``desired`` read from servers, on the controller's own page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wayside.operator.looks import Asker
from wayside.resources import Figure

MAX_FIGURES: Final = 200
"""Of one object."""
MAX_ASKERS: Final = 500
"""Objects whose figures are shown."""


class Figures:
    """Of every object, those that its last pass said."""

    def __init__(self) -> None:
        self._said: dict[Asker, tuple[Figure, ...]] = {}

    def say(self, asker: Asker, figures: Sequence[Figure]) -> None:
        """The figures of an object; none takes them away."""
        self._said.pop(asker, None)
        if figures and len(self._said) < MAX_ASKERS:
            self._said[asker] = tuple(figures[:MAX_FIGURES])

    def text(self) -> bytes:
        """Gauges in Prometheus's text format, those of one name together."""
        return "".join(f"{line}\n" for line in self._lines()).encode()

    def _lines(self) -> Iterator[str]:
        found: dict[str, dict[str, float]] = {}
        about: dict[str, str] = {}
        for (_, namespace, name), figures in sorted(self._said.items()):
            for figure in figures:
                labels = {"namespace": namespace, "resource": name, **figure.labels}
                said = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
                found.setdefault(figure.name, {})[said] = figure.value
                about.setdefault(figure.name, figure.about)
        for metric in sorted(found):
            yield f"# HELP {metric} {about[metric]}"
            yield f"# TYPE {metric} gauge"
            for said, value in found[metric].items():
                yield f"{metric}{{{said}}} {value!r}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
