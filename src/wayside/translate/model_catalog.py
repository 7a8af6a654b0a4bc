"""``global.model_catalog`` of v0.3: who embeds, who judges, and the knowledge bases.

Paths to vSR's own models are not followed: the built-in engines answer in their place, and
``engines:`` can put any of those models back (docs/how-to/use-your-own-models.md).
"""

from __future__ import annotations

from typing import Any

from wayside.settings.address import parse_address
from wayside.translate.knowledge import BASES
from wayside.translate.learned import Models
from wayside.translate.reading import Reader
from wayside.translate.servers import read_credential

_BUILT_IN = "the built-in engine answers; engines: can put a model of yours in its place"
_PROTOTYPES = "examples are scored one by one here: .75 of the best and .25 of the two best"


def read_model_catalog(catalog: Reader, models: Models) -> None:
    """Everything but the domain classifier's threshold, which is read where it is needed."""
    read_embeddings(catalog.inner("embeddings").inner("semantic"), models)
    for external in catalog.each("external"):
        _external(external, models)
    for base in catalog.each("kbs"):
        _base(base, models)
    catalog.set_aside("system", _BUILT_IN, "ignored")
    modules = catalog.inner("modules")
    classifier = modules.inner("classifier")
    classifier.set_aside("pii", _BUILT_IN, "ignored")
    classifier.set_aside("preference", _BUILT_IN, "ignored")
    classifier.set_aside("mcp", "not supported yet here: write engines.domain.mcp")
    for key in ("prompt_guard", "hallucination_mitigation", "feedback_detector"):
        modules.set_aside(key, _BUILT_IN, "ignored")
    modules.set_aside("modality_detector", _BUILT_IN, "ignored")
    modules.set_aside("complexity", _PROTOTYPES, "ignored")
    modules.set_aside(
        "prompt_compression", "long prompts are read by excerpts, never compressed", "ignored"
    )


_REMOTE = ("remote", "openai_compatible")
"""What asks a server for embeddings: the second is what vSR's operator calls it."""


def read_embeddings(semantic: Reader, models: Models) -> None:
    """Who embeds, and how near is near."""
    config = semantic.inner("embedding_config")
    if config.flag("enable_soft_matching") is False:
        models.soft = None
    elif (least := config.number("min_score_threshold", low=-1, high=1)) is not None:
        models.soft = float(least)
    if (top_k := config.whole("top_k")) is not None:
        models.top_k = top_k
    config.set_aside("prototype_scoring", _PROTOTYPES, "ignored")
    backend = config.text("backend") or ""
    if backend not in _REMOTE:
        config.set_aside("backend", _BUILT_IN, "ignored")
    for key in ("model_type", "preload_embeddings", "target_dimension", "target_layer"):
        config.set_aside(key, _BUILT_IN, "ignored")
    for key in list(semantic):
        if key.endswith("_model_path") or key == "use_cpu":
            semantic.set_aside(key, _BUILT_IN, "ignored")
    endpoint = semantic.inner("endpoint")
    if not endpoint:
        return
    if backend not in _REMOTE:
        endpoint.set_aside_all("only embedding_config.backend: remote uses it", "ignored")
        return
    url, model = endpoint.text("base_url"), endpoint.text("model")
    if not url or not model:
        endpoint.leave_out("a remote embedder needs base_url and model", "refused")
        return
    if "://" not in url or not _is_address(url):
        endpoint.note(
            f"{url[:200]!r} is no http:// or https:// address", "refused", key="base_url"
        )
        return
    made: dict[str, Any] = {"base_url": url, "model": model}
    if credential := read_credential(endpoint, ""):
        made["credential"] = credential
    if seconds := endpoint.number("timeout_seconds", low=0):
        made["deadline_ms"] = int(seconds * 1000)
    if dimensions := endpoint.whole("dimensions", low=1):
        made["dimensions"] = dimensions
    endpoint.set_aside("max_retries", "it is asked again while its deadline lasts", "ignored")
    models.engines["embedding"] = {"openai_embeddings": made}
    models.own_embedder = True


def _external(external: Reader, models: Models) -> None:
    """A language model that classifies, kept until a signal says with which labels."""
    name, model = external.text("name"), external.text("llm_model_name")
    endpoint = external.inner("llm_endpoint")
    host, port = endpoint.text("address"), endpoint.whole("port", low=1, high=65535)
    protocol = endpoint.text("protocol") or "http"
    role = external.text("model_role") or ""
    url = f"{protocol}://{host}:{port or (443 if protocol == 'https' else 80)}/v1"
    for key in ("name", "use_chat_template", "prompt_template"):
        endpoint.set_aside(key, "the question is put as a chat", "ignored")
    for key in ("llm_provider", "parser_type", "temperature", "threshold"):
        external.set_aside(key, "asked at temperature 0, for JSON of a given schema", "ignored")
    if not name or not model or not host or not _is_address(url):
        external.leave_out("an external model needs name, llm_model_name and an address")
        return
    made: dict[str, Any] = {"base_url": url, "model": model}
    if credential := read_credential(external, ""):
        made["credential"] = credential
    if seconds := external.number("llm_timeout_seconds", low=0):
        made["deadline_ms"] = int(seconds * 1000)
    if most := external.whole("max_tokens", low=1, high=32_768):
        made["max_tokens"] = most
    models.externals[name] = {"http_chat": made}
    if role not in ("classification", ""):
        external.note(f"used by signals that name it; nothing asks it as {role}", "unsupported")


def _is_address(url: str) -> bool:
    try:
        parse_address(url)
    except ValueError:
        return False
    return True


def _base(base: Reader, models: Models) -> None:
    """Groups, thresholds and metrics of a knowledge base; its texts if they are known here."""
    name = base.text("name") or ""
    base.set_aside("prototype_scoring", _PROTOTYPES, "ignored")
    groups = base.inner("groups")
    named = {group: groups.texts(group) for group in groups}
    metrics = [
        (m.text("name") or "", m.text("type"), m.text("positive_group"), m.text("negative_group"))
        for m in base.each("metrics")
    ]
    threshold = base.number("threshold", low=0, high=1)
    each = base.inner("label_thresholds")
    thresholds = {label: each.number(label, low=0, high=1) for label in each}
    known = BASES.get(name)
    if known is None:
        base.leave_out("its texts are in a file that is not read here: not supported yet")
        return
    base.set_aside("source", "its texts are wayside's own for the same labels", "ignored")
    labels = known["labels"]
    there = {g: [label for label in of if label in labels] for g, of in named.items()}
    made: dict[str, Any] = {"labels": labels, "groups": {g: of for g, of in there.items() if of}}
    if threshold is not None:
        made["threshold"] = models.cosine(threshold)
    if kept := {la: models.cosine(t) for la, t in thresholds.items() if t and la in labels}:
        made["label_thresholds"] = kept
    models.bases[name] = made
    for metric, kind, positive, negative in metrics:
        if kind == "group_margin" and positive in made["groups"] and negative in made["groups"]:
            models.metrics[name, metric] = (str(positive), str(negative))
