"""What a target says, as files for people and for other tools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from wayside.deploy import Manifest, Process, Step

_Fast: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Fast):  # type: ignore[misc]
    """No anchors; texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    # A block cannot hold blanks at a line's end: libyaml would quote it, and so do we.
    block = "\n" in value and not any(line != line.rstrip() for line in value.split("\n"))
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if block else None)


_Dumper.add_representer(str, _text)


def files(steps: Iterable[Step]) -> dict[str, str]:
    """Every file by its path. Raises ``ValueError`` for a path that two have, or that leads out
    of the folder."""
    made: dict[str, str] = {}

    def add(path: str, text: str) -> None:
        if path in made:
            raise ValueError(f"two files are called {path}")
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path} leads out of the folder")
        made[path] = text

    processes: list[Process] = []
    for step in steps:
        for manifest in step.manifests:
            add(manifest.path, manifest_text(manifest))
        for text in step.texts:
            add(text.path, text.text)
        processes += step.processes
    if processes:
        listed = [
            {"name": p.name, "argv": list(p.argv), "env": dict(p.env), "url": p.url}
            for p in processes
        ]
        add("processes.yaml", yaml_text(listed))
    return made


def manifest_text(manifest: Manifest) -> str:
    """One file: its comment, and its objects as documents."""
    head = "".join(f"# {line}".rstrip() + "\n" for line in manifest.comment.splitlines())
    return head + "---\n".join(yaml_text(one) for one in manifest.objects)


def yaml_text(value: Any) -> str:
    """YAML, the same for the same value, in the order of its keys."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=99,
        default_flow_style=False,
    )  # fmt: skip
    return text
