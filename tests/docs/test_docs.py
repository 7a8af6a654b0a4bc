"""The documentation is true: examples build, links lead somewhere, generated pages are fresh."""

from __future__ import annotations

import ast
import difflib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import pytest
import yaml

from tests.docs.pages import PAGES, ROOT, Block, blocks
from wayside.catalog import catalog
from wayside.cli import cli
from wayside.cli.files import read
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.settings.schema import full_schema
from wayside.vocab import errors

REFERENCE = ROOT / "docs" / "reference"
OURS = set(RouterSettings.model_fields)
YAML = [b for page in PAGES for b in blocks(page, "yaml") if b.mark != "not ours"]


def keys(block: Block) -> set[str]:
    """The keys at the top of a block."""
    document = yaml.safe_load(block.text)
    return set(document) if isinstance(document, dict) else set()


MINE = [b for b in YAML if keys(b) & OURS]
SHELL = [b for page in PAGES for b in blocks(page, "sh", "console", "bash")]


class Anything(dict[str, str]):
    """An environment in which every variable is set."""

    def __contains__(self, _: object) -> bool:
        return True

    def __missing__(self, _: str) -> str:
        return "http://127.0.0.1:1"


def named(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping in ``value``."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named(inner)


def with_models(document: dict[str, Any]) -> dict[str, Any]:
    """``document`` with every model that it names and does not configure."""
    models = {k: dict(v or {}) for k, v in document.get("models", {}).items()}
    for routing in (document.get("routing", {}), *document.get("recipes", {}).values()):
        candidates = [c for d in routing.get("decisions", ()) for c in d.get("models", ())]
        candidates += [routing["default_model"]] if "default_model" in routing else []
        for candidate in candidates:
            given = {"model": candidate} if isinstance(candidate, str) else candidate
            model = models.setdefault(given["model"], {})
            if "lora" in given:
                model.setdefault("loras", []).append(given["lora"])
    models = models or {"some": {}}
    for model in models.values():
        model.setdefault("endpoints", ["http://127.0.0.1:1"])
    families = {m["reasoning_family"] for m in models.values() if "reasoning_family" in m}
    document.setdefault("reasoning_families", {})
    for family in families:
        document["reasoning_families"].setdefault(
            family, {"type": "chat_template_kwargs", "parameter": "enable_thinking"}
        )
    return {**document, "models": models}


@pytest.mark.parametrize("block", MINE, ids=str)
def test_every_configuration_shown_can_be_used(block: Block) -> None:
    document = yaml.safe_load(block.text)
    loaded = read(yaml.safe_dump(with_models(document)).encode(), "page.yaml", env=Anything())
    assert loaded.format == "wayside"
    compile_policy(loaded.settings)


def test_what_is_not_taken_for_ours_does_not_look_like_it() -> None:
    assert len(MINE) >= 10
    for block in YAML:
        if block not in MINE:
            near = [k for k in keys(block) if difflib.get_close_matches(str(k), OURS, cutoff=0.75)]
            assert not near, f"{block}: a slip? else write <!-- not ours --> above the block"


# commands


def lines_of(block: Block) -> Iterator[str]:
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        yield line.removeprefix("$ ").strip()


def calls() -> Iterator[tuple[str, list[str]]]:
    """Every ``wayside ...`` in the pages' shell blocks, with its place."""
    for block in SHELL:
        for line in lines_of(block):
            words = shlex.split(line, comments=True)
            for i, word in enumerate(words):
                if word == "wayside" and (i == 0 or words[i - 1] in ("|", "&&", "exec", "--")):
                    rest = words[i + 1 :]
                    ends = [j for j, w in enumerate(rest) if w in ("|", "&&", "&", ">", "2>", ";")]
                    yield str(block), rest[: ends[0]] if ends else rest


@pytest.mark.parametrize(
    ("place", "words"), [pytest.param(*c, id=" ".join(c[1])) for c in calls()]
)
def test_every_command_shown_exists_with_its_options(place: str, words: list[str]) -> None:
    command: click.Command = cli
    context = click.Context(cli, info_name="wayside")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        inner = command.get_command(context, words[0])
        assert inner is not None, f"{place}: no command {words[0]!r}"
        command, words = inner, words[1:]
        context = click.Context(command, parent=context, info_name=command.name)
    if "..." not in words:
        try:
            command.make_parser(context).parse_args(list(words))
        except click.UsageError as error:
            pytest.fail(f"{place}: {error.format_message()}")


# links

_CODE = re.compile(r"```.*?^[ ]*```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+?)\s*$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of the headings."""
    text = re.sub(r"```.*?^[ ]*```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: dict[str, int] = {}
    for heading in _HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        again = found.get(slug, 0)
        found[slug] = again + 1
        if again:
            found[f"{slug}-{again}"] = 1
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = _CODE.sub(lambda found: "`code`" if found[0][:3] != "```" else "", page.read_text())
    lost = []
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        to = (page.parent / path).resolve() if path else page
        if not to.exists() or (anchor and anchor not in anchors(to)):
            lost.append(target)
    assert not lost


# generated pages


def test_generated_pages_are_fresh() -> None:
    found = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate.py", "--check"],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def commands(group: click.Group, name: str) -> Iterator[str]:
    context = click.Context(group)
    for inner in group.list_commands(context):
        yield f"{name} {inner}"
        command = group.get_command(context, inner)
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {inner}")


def test_every_command_is_in_the_reference() -> None:
    page = (REFERENCE / "commands.md").read_text()
    assert [c for c in commands(cli, "wayside") if f"\n## {c}\n" not in page] == []


def test_every_metric_is_in_the_reference() -> None:
    page = "".join(
        [(REFERENCE / name).read_text() for name in ("metrics.md", "epp.md", "controllers.md")]
    )
    source = "\n".join(p.read_text() for p in (ROOT / "src" / "wayside").rglob("*.py"))
    names = set(re.findall(r'"((?:wayside|llm)_[a-z_]+_(?:total|seconds|flight))"', source))
    names.discard("llm_timeout_seconds")  # a key of vSR's configurations
    names |= set(re.findall(r'gauge\(\s*"(\w+)"', source))
    names -= {name for name in names if name.startswith("wayside_sim")}
    assert len(names) > 15
    assert [n for n in sorted(names) if f"`{n}`" not in page] == []


def test_every_settings_class_is_in_the_reference() -> None:
    page = (REFERENCE / "configuration.md").read_text()
    for name, definition in full_schema(RouterSettings, catalog)["$defs"].items():
        if "properties" in definition:
            title = name.rpartition(".")[2].removesuffix("Settings")
            assert f"\n### {title}\n" in page, name
            for key in definition["properties"]:
                assert f"| `{key}` |" in page


def codes() -> set[str]:
    """Every ``code="..."`` given to an error in the core."""
    found = set()
    for package in ("flow", "dialects", "runtime"):
        for path in (ROOT / "src" / "wayside" / package).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                said = isinstance(node, ast.keyword) and node.arg == "code"
                if said and isinstance(node.value, ast.Constant):
                    found.add(ast.literal_eval(node.value))
    return found


def test_every_error_is_in_the_reference() -> None:
    page = (REFERENCE / "errors.md").read_text()
    assert [c for c in sorted(codes()) if f"`{c}`" not in page] == []
    for cls in vars(errors).values():
        if isinstance(cls, type) and issubclass(cls, errors.WaysideError):
            assert f"`{cls.__name__}`" in page


def test_every_kind_has_a_page() -> None:
    folders = {
        "signal": "signals",
        "selector": "selection",
        "plugin": "plugins",
        "engine": "engines",
    }
    for family, folder in folders.items():
        for kind in catalog.family(family):  # type: ignore[arg-type]
            assert (REFERENCE / folder / f"{kind.name}.md").exists()


def test_every_management_path_is_in_the_reference() -> None:
    from tests.gateway.test_management import router

    page = (REFERENCE / "management-api.md").read_text()
    for route in router().management.app().routes:
        path = getattr(route, "path", "")
        assert f" {path}`" in page, path
