"""The router's configuration, made of a SemanticRouter and of where its models are.

What comes out is our own format, which the router reads from a ConfigMap. It is as small as it
can be: routing, models, stores, plugins. Addresses and ports are the pod's, and come in as
``extra``. A spec that means nothing, or asks for what is not here, makes no configuration at all,
and whoever runs the router keeps the last one.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from wayside.manifests.router_config import digest, merge, of_kinds, written
from wayside.resources.semantic_router import secrets
from wayside.resources.semantic_router.backends import Backend
from wayside.resources.semantic_router.config_models import (
    default_model,
    placed,
    unserved,
    without,
)
from wayside.resources.semantic_router.config_notes import MOST_NEAR, remarks, told_wrong
from wayside.resources.semantic_router.config_variables import (
    Variables,
    filled,
    keys_from_files,
    variables,
)
from wayside.resources.semantic_router.secrets import SecretUse
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.settings import RouterSettings
from wayside.settings.problems import problems_from
from wayside.translate import kubernetes
from wayside.translate.notes import Note
from wayside.translate.semantic_router import RouterDraft
from wayside.translate.semantic_router_whole import REST
from wayside.vocab.errors import ConfigError

__all__ = ["CONFIG_DIR", "CONFIG_FILE", "RouterConfig", "digest", "make", "merge", "render"]

CONFIG_DIR = "/app/config"
"""Where the ConfigMap is mounted, whole: a file mounted by ``subPath`` would never change."""
CONFIG_FILE = f"{CONFIG_DIR}/config.yaml"
TOOLS_FILE = f"{CONFIG_DIR}/tools_db.json"
_TOOLS_PATHS = ("config/tools_db.json", "tools_db.json", TOOLS_FILE)

Reason = Literal["Valid", "ParseError", "UnknownField", "UnknownModel", "Conflict", "Unsupported"]
"""Of the condition ``ConfigValid``."""
Check = Callable[[RouterSettings], Iterable[object]]
"""What else is wrong with settings, as far as somebody else can tell: the compiler of policies is
no part of this ring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterConfig:
    """A configuration, or why there is none."""

    settings: RouterSettings | None = None
    """``None`` where there are problems."""
    text: str = ""
    """``config.yaml`` of the ConfigMap."""
    tools: str = "[]\n"
    """``tools_db.json`` beside it."""
    secrets: tuple[SecretUse, ...] = ()
    """What the pods have to mount: see :func:`wayside.resources.semantic_router.secrets.volume`.
    """
    problems: tuple[str, ...] = ()
    """What is wrong with the spec: paths, and what to write instead."""
    reason: Reason = "Valid"
    """Of the first problem."""
    waiting: str = ""
    """Why every prompt is refused although nothing is wrong: no model has a backend."""
    notes: tuple[str, ...] = ()
    """What works otherwise than one might think; the weightiest first."""
    digest: str = ""
    """Of ``text``; a router tells the same of what it has read (``config_hash``)."""


def make(
    spec: SemanticRouterSpec,
    name: str,
    namespace: str,
    backends: Sequence[Backend],
    *,
    extra: Mapping[str, Any] | None = None,
    check: Check | None = None,
) -> RouterConfig:
    """The configuration of the SemanticRouter ``namespace/name``.

    ``extra`` are settings of the pod (listeners, identity), laid over what the spec says.
    ``check`` is asked last, about settings that are right as far as this ring can tell.
    """
    try:
        return _make(spec, f"{namespace}/{name}", backends, extra or {}, check)
    except RecursionError:
        told = "spec: nested too deep to be read; write it with less inside"
        return RouterConfig(problems=(told,), reason="ParseError")


def _make(
    spec: SemanticRouterSpec,
    whose: str,
    backends: Sequence[Backend],
    extra: Mapping[str, Any],
    check: Check | None,
) -> RouterConfig:
    models, mounted = placed(backends)
    declared = [endpoint.model for endpoint in spec.vllm_endpoints]
    default, remark = default_model(spec.default_model, declared, models)
    draft = RouterDraft(placed=models, tools_file=TOOLS_FILE)
    raw = spec.stored()
    raw.pop("defaultModel", None)
    if default:
        raw["defaultModel"] = default
    translation = kubernetes.translate_router(raw, draft)
    wrong = [note for note in translation.notes if _is_problem(note)]
    notes = [remark] if remark else []
    settings = copy.deepcopy(translation.settings)
    missing = [model for model in dict.fromkeys(declared) if model not in models]
    notes += without(settings, missing, REST)
    mounted += [
        SecretUse(s, key, "Secret", at, optional) for s, key, at, optional in draft.secrets
    ]
    settings = merge(settings, extra)
    problems = [
        told_wrong(note, declared if i < MOST_NEAR else ()) for i, note in enumerate(wrong)
    ]
    known = variables(spec.env)
    for found in keys_from_files(settings, known):
        if isinstance(found, SecretUse):
            mounted.append(found)
        else:
            problems.append(found)
    problems += _files(settings, bool(draft.tools))
    told = remarks([n for n in translation.notes if not _is_problem(n)], spec, notes)
    if problems:
        return RouterConfig(
            problems=tuple(problems), reason=_reason(wrong[0] if wrong else None), notes=told
        )
    waiting = ""
    if not models:
        waiting = "no model has a backend yet" if declared else "spec.vllmEndpoints names no model"
        unserved(settings)
    checked = _checked(settings, known, check)
    if not isinstance(checked, RouterSettings):
        return RouterConfig(problems=checked, reason=_told(checked[0]), notes=told)
    tools = json.dumps(draft.tools, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    text = render(settings, whose, tools if draft.tools else "")
    return RouterConfig(
        settings=checked,
        text=text,
        tools=tools,
        secrets=secrets.distinct(mounted),
        waiting=waiting,
        notes=told,
        digest=digest(text),
    )


def render(settings: Mapping[str, Any], whose: str, tools: str = "") -> str:
    """YAML, the same for the same settings.

    The digest of ``tools`` is told in it because a router reads that file when its configuration
    changes, and only then.
    """
    head = [f"Made from SemanticRouter {whose}. Change that: this is written anew."]
    if tools:
        head.append(f"tools_db.json: {digest(tools)}")
    return written(settings, head)


# --- what is wrong -------------------------------------------------------------------------------

_PIECE = re.compile(r"\.(decisions|plugins)\[\d+\](\.algorithm)?$")


def _is_problem(note: Note) -> bool:
    """What was wrong, unknown or unsafe; and what would be missed without a word: a decision, a
    plugin or an algorithm that is not here."""
    if note.severity in ("refused", "unknown"):
        return True
    return note.severity == "unsupported" and _PIECE.search(note.path) is not None


def _reason(note: Note | None) -> Reason:
    if note is None:
        return "ParseError"
    if note.severity == "unknown":
        return "UnknownField"
    if note.severity == "unsupported":
        return "Unsupported"
    return _told(note.what)


def _told(what: str) -> Reason:
    if re.search(r"\bmodels?\b.*(nothing defines|no model|no provider)|nothing defines model|"
                 r"no model |names only models|no provider serves", what):  # fmt: skip
        return "UnknownModel"
    if (
        "conflicts with" in what
        or "cannot specify both" in what
        or "in one place" in what
        or "already names" in what
    ):
        return "Conflict"
    if "cannot be cached in" in what:
        return "Unsupported"
    return "ParseError"


def _files(settings: Mapping[str, Any], tools: bool) -> list[str]:
    """Lists of tools that plugins name: there is one file, that of ``toolsDb``."""
    problems: list[str] = []
    for decision in settings.get("routing", {}).get("decisions", ()):
        rule = decision.get("plugins", {}).get("tool_selection", {})
        path = rule.get("file")
        if path is None:
            continue
        if path not in _TOOLS_PATHS or not tools:
            problems.append(
                f"decision {decision['name']!r}: no file {path!r} is in the router's container; "
                "write the tools in spec.toolsDb, and tools_db_path: config/tools_db.json"
            )
        rule["file"] = TOOLS_FILE
    return problems


def _checked(
    settings: dict[str, Any], known: Variables, check: Check | None
) -> RouterSettings | tuple[str, ...]:
    """The settings, or everything that is wrong with them."""
    try:
        made = RouterSettings.model_validate(filled(settings, known))
    except ValidationError as error:
        return tuple(str(p) for p in problems_from(error, RouterSettings))
    except ConfigError as error:
        return tuple(str(p) for p in error.problems)
    problems = [*map(str, of_kinds(made)), *(str(p) for p in (check(made) if check else ()))]
    return tuple(problems) or made
