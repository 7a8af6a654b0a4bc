"""vSR's projections as ours: partitions, scores and mappings (spec 4)."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from wayside.settings.projections import MappingSettings, PartitionSettings, ScoreSettings
from wayside.translate import learned
from wayside.translate.reading import Reader
from wayside.translate.signals import Signals

Rule = dict[str, Any]
_SOURCES = {"score": "raw", "raw": "raw", "confidence": "confidence", "binary": "binary"}


def read_projections(owner: Reader, signals: Signals) -> Rule:
    """``projections`` of ``owner``; what cannot be kept makes the names it defines missing."""
    projections = owner.inner("projections")
    made: Rule = {"partitions": [], "scores": [], "mappings": []}
    for partition in projections.each("partitions"):
        _keep(partition, _partition(partition, signals), PartitionSettings, made["partitions"])
    for score in projections.each("scores"):
        name = score.text("name") or ""
        problem = _keep(score, _score(score, signals), ScoreSettings, made["scores"])
        _know(name, problem, signals)
    scores = {score["name"] for score in made["scores"]}
    for mapping in projections.each("mappings"):
        found = _mapping(mapping)
        names = [band.get("name", "") for band in found["outputs"]]
        problem = signals.missing.get(("projection", found["source"]))
        if problem is None and found["source"] not in scores:
            problem = f"no score {found['source']!r}"
        said: Rule | str = problem or found
        problem = _keep(mapping, said, MappingSettings, made["mappings"])
        for name in names:
            _know(name, problem, signals)
    return {key: value for key, value in made.items() if value}


def _keep(reader: Reader, found: Rule | str, settings: Any, kept: list[Rule]) -> str | None:
    """Keep what our settings accept; the reason where they do not."""
    problem: str | None = found if isinstance(found, str) else None
    if not isinstance(found, str):
        try:
            settings.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            problem = f"{where}: {first['msg']}" if where else first["msg"]
        else:
            reader.remark("description")
            kept.append(found)
            return None
    reader.leave_out(f"{problem}; left out")
    return problem


def _know(name: str, problem: str | None, signals: Signals) -> None:
    if problem is None:
        signals.add("projection", name, {})
    else:
        signals.missing["projection", name] = f"needs projection {name!r}: {problem}"


def _partition(partition: Reader, signals: Signals) -> Rule | str:
    wanted = partition.texts("members")
    members, default = [], partition.text("default")
    for index, member in enumerate(wanted):
        ref = _ref_of(member, signals)
        if ref is None:
            path = f"{partition.at('members')}[{index}]"
            partition.ledger.add(path, f"no signal {member!r}", "refused")
        else:
            members.append(ref)
    out: Rule = {"name": partition.text("name") or "", "members": members}
    if semantics := partition.choice("semantics", ("exclusive", "softmax_exclusive")):
        out["semantics"] = semantics
    temperature = partition.number("temperature", low=0)
    if temperature and out.get("semantics") == "softmax_exclusive":
        out["temperature"] = temperature
    if default is not None:
        ref = _ref_of(default, signals)
        if ref in members:
            out["default"] = ref
        else:
            partition.note("is not among the members", "refused", key="default")
    return out


def _ref_of(member: str, signals: Signals) -> str | None:
    """vSR's partitions name domains and embeddings without their kind."""
    kind, colon, _ = member.partition(":")
    if colon and kind in signals.known:
        return member
    for kind in ("domain", "embedding", *signals.known):
        if member in signals.known.get(kind, {}):
            return f"{kind}:{member}"
    return f"domain:{member}" if signals.domain(member) else None


def _score(score: Reader, signals: Signals) -> Rule | str:
    name = score.text("name") or ""
    inputs = []
    for each in score.each("inputs"):
        made = _input(each, signals)
        if isinstance(made, str):
            return made
        inputs.append(made)
    out: Rule = {"name": name, "inputs": inputs}
    score.choice("method", ("weighted_sum",))
    return out


def _input(each: Reader, signals: Signals) -> Rule | str:
    kind = (each.text("type") or "").lower()
    out: Rule = {"weight": each.number("weight") or 0.0}
    source = each.choice("value_source", tuple(_SOURCES))
    if kind == "kb_metric":
        base, metric = each.text("kb") or "", each.text("metric") or ""
        rule = learned.kb_metric(base, metric, signals.models)
        if rule is None:
            return f"metric {metric!r} of knowledge base {base!r} is not known here"
        signals.add("kb", f"{base}.{metric}", rule)
        out["signal"], source = f"kb:{base}.{metric}", "raw"
    else:
        name = each.text("name") or ""
        if why := signals.lost(kind, name):
            return why
        known = name in signals.known.get(kind, {})
        if not known and not (kind == "domain" and signals.domain(name)):
            return f"refers to {kind} {name!r}, which nothing defines"
        out["signal"] = f"{kind}:{name}"
    if source is not None and _SOURCES[source] != "binary":
        out["value_source"] = _SOURCES[source]
    for key in ("match", "miss"):
        if (value := each.number(key)) is not None:
            out[key] = value
    return out


def _mapping(mapping: Reader) -> Rule:
    bands = []
    for output in mapping.each("outputs"):
        band: Rule = {"name": output.text("name") or ""}
        for key in ("lt", "lte", "gt", "gte"):
            if (value := output.number(key)) is not None:
                band[key] = value
        output.remark("description")
        bands.append(band)
    out: Rule = {
        "name": mapping.text("name") or "",
        "source": mapping.text("source") or "",
        "outputs": bands,
    }
    if method := mapping.choice("method", ("threshold_bands", "multi_emit")):
        out["method"] = method
    calibration = mapping.inner("calibration")
    if calibration:
        calibration.choice("method", ("sigmoid_distance",))
        if slope := calibration.number("slope", low=0):
            out["calibration"] = {"slope": slope}
    return out
