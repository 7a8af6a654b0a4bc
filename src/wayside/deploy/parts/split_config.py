"""The configuration of the split layout: two models, fifteen decisions, in the guide's format.

The guide (requirement 000) keeps addresses as ``address`` and ``port`` of ``vllm_endpoints``, and
greps for them; so that is how the ConfigMap has them. Both formats are made of one table:
:func:`document` is the guide's, :func:`settings` ours, and an importer's translation of the one is
the other (which a test sees to).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from wayside.deploy import Object

KEY: Final = "dynamic-config.yaml"
"""The ConfigMap's key, as the guide's own ``oc create configmap --from-file`` makes it."""
MODELS: Final = ("Model-A", "Model-B")
PLACEHOLDERS: Final[Mapping[str, str]] = {
    "Model-A": "172.30.64.134",
    "Model-B": "172.30.116.177",
}
"""The template's addresses, which the guide replaces by those of a cluster."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model's servers are reached: an address or DNS name, and a port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class _Subject:
    """One decision: prompts about ``name`` go to ``model``."""

    name: str
    model: str
    about: str
    prompt: str
    thinks: bool = False
    priority: int = 10


_SUBJECTS: Final = (
    _Subject(
        "business", "Model-B", "Companies, markets, management and money in trade",
        "You advise people who run a business. Say what you would do, what it costs and what "
        "could go wrong, and keep facts apart from guesses.",
    ),
    _Subject(
        "law", "Model-B", "Statutes, courts, contracts and rights",
        "You explain law to people without legal training. Name the jurisdiction that an answer "
        "holds for, and say when somebody should ask a lawyer.",
    ),
    _Subject(
        "psychology", "Model-B", "Minds, behaviour and how people are studied",
        "You explain psychology from published studies. Say how sure the field is, and never "
        "diagnose anybody.",
    ),
    _Subject(
        "biology", "Model-A", "Living things, from cells to ecosystems",
        "You teach biology. Begin with the mechanism, then give an example from nature.",
    ),
    _Subject(
        "chemistry", "Model-A", "Substances and their reactions",
        "You teach chemistry. Write balanced equations with units, and warn of what is dangerous "
        "to try.",
        thinks=True,
    ),
    _Subject(
        "history", "Model-A", "What happened, and how we know",
        "You tell history with dates and sources, and say where historians disagree.",
    ),
    _Subject(
        "other", "Model-A", "Whatever is about none of the others",
        "You answer briefly and to the point, and say so when you do not know.",
        priority=5,
    ),
    _Subject(
        "health", "Model-B", "Bodies, illness and medicine",
        "You explain health from established evidence. You do not replace a doctor; say what "
        "would need one at once.",
    ),
    _Subject(
        "economics", "Model-A", "How goods, work and money are allotted",
        "You explain economics. State the assumptions of a model before its conclusions.",
    ),
    _Subject(
        "math", "Model-A", "Numbers, shapes, proofs and calculation",
        "You are careful with mathematics. Work step by step, check the result in another way, "
        "and give it on a line of its own.",
        thinks=True,
    ),
    _Subject(
        "physics", "Model-A", "Matter, motion, fields and energy",
        "You teach physics. Name the law that applies, keep units throughout, and check the order "
        "of magnitude.",
        thinks=True,
    ),
    _Subject(
        "computer science", "Model-A", "Programs, algorithms, data and machines",
        "You help programmers. Show code that runs, and say what it costs in time and memory.",
    ),
    _Subject(
        "philosophy", "Model-B", "Knowledge, ethics, mind and argument",
        "You discuss philosophy. Set out the strongest form of each position before you judge it.",
    ),
    _Subject(
        "engineering", "Model-A", "Things that are designed and built",
        "You are an engineer. State loads, tolerances and safety factors, and what a design is "
        "not good for.",
        thinks=True,
    ),
)  # fmt: skip
_FAMILIES: Final = {"qwen3": {"type": "chat_template_kwargs", "parameter": "enable_thinking"}}
_GENERAL: Final = "You are friendly and brief."
_SMALL_TALK: Final = ("hello", "good morning", "good evening", "how are you", "thank you")


def document(places: Mapping[str, Place], default_model: str = MODELS[0]) -> Object:
    """The configuration with these models, of which ``Model-A`` and ``Model-B`` are decided
    between; others are there for clients that ask for them by name."""
    return {
        "vllm_endpoints": [
            {"name": endpoint(name), "address": place.address, "port": place.port, "weight": 1}
            for name, place in places.items()
        ],
        "model_config": {
            name: {"reasoning_family": "qwen3", "preferred_endpoints": [endpoint(name)]}
            for name in places
        },
        "reasoning_families": _FAMILIES,
        "categories": [{"name": one.name, "mmlu_categories": [one.name]} for one in _SUBJECTS],
        "keyword_rules": [
            {
                "name": "small_talk",
                "operator": "OR",
                "keywords": list(_SMALL_TALK),
                "case_sensitive": False,
            }
        ],
        "decisions": [*map(_decision, _SUBJECTS), _general()],
        "default_model": default_model,
        "include_config_models_in_list": True,
    }


def settings(places: Mapping[str, str], default_model: str = MODELS[0]) -> Object:
    """The same in our own format; ``places`` are URLs."""
    general = _ours("general", "Model-A", "Small talk", _GENERAL, when="keyword:small_talk")
    return {
        "auto_names": ["vllm-sr/auto", "auto", "MoM"],
        "list_models": True,
        "models": {
            name: {
                "endpoints": [{"url": url, "name": endpoint(name)}],
                "reasoning_family": "qwen3",
            }
            for name, url in places.items()
        },
        "reasoning_families": _FAMILIES,
        "routing": {
            "default_model": default_model,
            "signals": {
                "keyword": {"small_talk": {"keywords": list(_SMALL_TALK), "operator": "OR"}},
                "domain": {one.name: {"labels": [one.name]} for one in _SUBJECTS},
            },
            "decisions": [*map(_decision_of_ours, _SUBJECTS), {**general, "priority": 5}],
        },
    }


def template(places: Mapping[str, int]) -> Object:
    """:func:`document` before addresses are known; ``places`` are the ports."""
    return document({name: Place(PLACEHOLDERS[name], port) for name, port in places.items()})


def endpoint(model: str) -> str:
    """The name of a model's endpoint: ``model-a-endpoint``."""
    return f"{model.lower()}-endpoint"


def written(found: Object, head: Sequence[str]) -> str:
    """YAML below comments. Addresses are quoted, as the guide shows them."""
    text = yaml.dump(found, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=99)
    return "".join([*(f"# {line}".rstrip() + "\n" for line in head), text])


def _decision(one: _Subject) -> Object:
    return {
        "name": f"{one.name.replace(' ', '_')}_decision",
        "description": one.about,
        "priority": one.priority,
        "rules": {"operator": "OR", "conditions": [{"type": "domain", "name": one.name}]},
        "modelRefs": [{"model": one.model, "use_reasoning": one.thinks}],
        "plugins": [_prompt(one.prompt)],
    }


def _decision_of_ours(one: _Subject) -> Object:
    made = _ours(one.name.replace(" ", "_"), one.model, one.about, one.prompt, thinks=one.thinks)
    return {**made, "priority": one.priority, "when": f"domain:{one.name}"}


def _ours(
    name: str, model: str, about: str, prompt: str, *, thinks: bool = False, when: str = ""
) -> Object:
    return {
        "name": f"{name}_decision",
        "description": about,
        "when": when,
        "models": [{"model": model, "reasoning": thinks}],
        "plugins": {"system_prompt": {"prompt": prompt}},
    }


def _general() -> Object:
    return {
        "name": "general_decision",
        "description": "Small talk",
        "priority": 5,
        "rules": {"operator": "OR", "conditions": [{"type": "keyword", "name": "small_talk"}]},
        "modelRefs": [{"model": "Model-A", "use_reasoning": False}],
        "plugins": [_prompt(_GENERAL)],
    }


def _prompt(text: str) -> Object:
    settings = {"enabled": True, "system_prompt": text, "mode": "replace"}
    return {"type": "system_prompt", "configuration": settings}


class _Quoted(str):
    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """No anchors; addresses in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_dict_quoted(self, data: dict[str, Any]) -> yaml.Node:
        if "address" in data:
            data = {**data, "address": _Quoted(data["address"])}
        return self.represent_dict(data)


def _quoted(dumper: yaml.SafeDumper, data: _Quoted) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(data), style='"')


_Dumper.add_representer(dict, _Dumper.represent_dict_quoted)
_Dumper.add_representer(_Quoted, _quoted)
