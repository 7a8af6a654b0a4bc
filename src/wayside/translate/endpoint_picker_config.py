"""llm-d's ``EndpointPickerConfig`` as what our endpoint picker is assembled from.

Both API groups are read: ``llm-d.ai``, and the one of the Gateway API Inference Extension that
older manifests have. Whatever is wrong, or known and not done, is a problem with its path and
what to write instead; nothing is accepted and then ignored in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from wayside.settings.load import documents
from wayside.settings.picking import PickingSettings, UseSettings
from wayside.settings.problems import suggest
from wayside.translate.notes import Note
from wayside.translate.picker_config import (
    AdmitterConfig,
    Called,
    DetectorConfig,
    FlowConfig,
    HandlerConfig,
    PickerConfig,
)
from wayside.translate.picker_flow import detector_of, flow_of
from wayside.translate.picker_params import Params
from wayside.translate.picker_plugins import ANY_PARAMETERS, NOT_DONE, TYPES, Made
from wayside.vocab.errors import ConfigError, Problem

KIND: Final = "EndpointPickerConfig"
GROUP: Final = "llm-d.ai/v1alpha1"
OLD_GROUP: Final = "inference.networking.x-k8s.io/v1alpha1"
GATES: Final = (
    "flowControl", "dataLayer", "prepareDataPlugins", "enableLegacyMetrics",
    "experimentalDatalayer", "experimentalPrepareDataPlugins",
)  # fmt: skip
"""Only the first does anything here; what the others switch on is always on."""


_PICKER: Final = "max-score-picker"
"""What picks where nothing else is named."""


class _Plugin:
    def __init__(self, name: str, type_: str, made: Made) -> None:
        self.name, self.type, self.made = name, type_, made


DEFAULT: Final = f"apiVersion: {GROUP}\nkind: {KIND}\n"
"""What is run without a file: everything by default."""


def read(text: str) -> PickerConfig:
    """Raises :class:`ConfigError` with every problem of the document."""
    found = documents(text)
    if len(found) != 1:
        raise ConfigError.one(f"{len(found)} documents; one is wanted", where="document")
    return of_document(found[0])


def of_document(document: Mapping[str, Any]) -> PickerConfig:
    """The same of a document that is parsed already."""
    return _Reading(document).result()


class _Reading:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self._root = Params(document, "", self.problems, self.notes)
        self._plugins: dict[str, _Plugin] = {}
        self._called: dict[str, tuple[Called, ...]] = {}

    def result(self) -> PickerConfig:
        root = self._root
        self._head(root)
        gates = self._gates(root)
        self._all_plugins(root)
        profiles = self._profiles(root)
        handler = self._handler(profiles)
        scrapes, file = self._data(root)
        detector, flow = self._flow(root, "flowControl" in gates)
        reads = self._reads(root)
        admitters = self._with("admitter")
        root.close()
        if self.problems:
            raise ConfigError(self.problems)
        return PickerConfig(
            profiles=profiles,
            called=self._called,
            handler=handler,
            reads=reads,
            detector=detector,
            flow=flow,
            admitter=AdmitterConfig(**admitters[0].made["admitter"]) if admitters else None,
            file=file,
            scrapes=scrapes,
            testing=bool(self._with("testing")),
            notes=tuple(self.notes),
        )

    def _head(self, root: Params) -> None:
        version, kind = root.raw("apiVersion"), root.raw("kind")
        root.raw("metadata")
        if version == OLD_GROUP:
            what = f"this API group is the old one; write {GROUP}"
            self.notes.append(Note("apiVersion", what, "mapped"))
        elif version != GROUP:
            fix = suggest(str(version), (GROUP, OLD_GROUP), "known")
            root.wrong("apiVersion", f"no version {version!r}", fix)
        if kind != KIND:
            root.wrong("kind", f"no kind {kind!r}", f"write {KIND}")

    def _gates(self, root: Params) -> set[str]:
        on = set()
        for i, gate in enumerate(root.texts("featureGates")):
            name, equals, value = gate.partition("=")
            where = f"featureGates[{i}]"
            if equals and value not in ("true", "false"):
                fix = f"write {name}=true, or {name}=false"
                self.problems.append(Problem(f"not a feature gate: {gate!r}", where, fix))
            elif name not in GATES:
                fix = suggest(name, GATES, "feature gates")
                self.problems.append(Problem(f"no feature gate {name!r}", where, fix))
            elif value != "false":
                on.add(name)
        return on

    # --- plugins -------------------------------------------------------------------------------

    def _all_plugins(self, root: Params) -> None:
        for entry in root.entries("plugins"):
            type_, name = entry.text("type", None), entry.text("name", None)
            if not type_:
                entry.wrong("type", "it has to be named", f"one of {KIND}'s plugin types")
                entry.raw("parameters")
                continue
            made = self._made(entry, type_)
            entry.close()
            name = name or type_
            if name in self._plugins:
                what = f"two plugins are called {name!r}"
                entry.wrong("name", what, "give each a name of its own")
            self._plugins[name] = _Plugin(name, type_, made)
        self._merge_producers()

    def _made(self, entry: Params, type_: str) -> Made:
        make = TYPES.get(type_)
        params = entry.inner("parameters")
        if make is None:
            if type_ in NOT_DONE or type_.startswith("multicluster-"):
                fix = NOT_DONE.get(type_, "one picker serves one cluster")
                entry.wrong("type", f"{type_} is not done here", fix)
            else:
                fix = suggest(type_, TYPES, "types")
                entry.wrong("type", f"no plugin type {type_!r}", fix)
            return {}
        made = make(params)
        if type_ in ANY_PARAMETERS:
            if "parameters" in entry:
                self.notes.append(Note(params.path, ANY_PARAMETERS[type_], "ignored"))
        else:
            params.close()
        return made

    def _merge_producers(self) -> None:
        """A prefix scorer takes over what its producer was told, or what the producer is."""
        told: dict[str, Any] = {}
        precise = None
        for plugin in self._plugins.values():
            told |= plugin.made.get("prefix", {})
            precise = plugin.made.get("precise", precise)
        for plugin in self._plugins.values():
            name, settings = plugin.made.get("scorer", ("", {}))
            if name == "prefix_cache":
                plugin.made["scorer"] = precise or (name, {**told, **settings})

    def _with(self, role: str) -> list[_Plugin]:
        return [p for p in self._plugins.values() if role in p.made]

    def _ref(self, entry: Params, role: str, name: str = "pluginRef") -> _Plugin | None:
        """The plugin that is referred to, which must play ``role``."""
        ref = entry.text(name, None)
        if not ref:
            entry.wrong(name, "it has to be named", suggest("", self._plugins, "plugins"))
            return None
        plugin = self._plugins.get(ref)
        if plugin is None and ref in TYPES and role in (made := self._injected(ref)):
            return _Plugin(ref, ref, made)
        if plugin is None:
            entry.wrong(name, f"no plugin {ref!r}", suggest(ref, self._plugins, "plugins"))
        elif role and role not in plugin.made and plugin.made:
            what = f"{ref!r} is a {plugin.type}, which is no {role.replace('_', ' ')}"
            entry.wrong(name, what, suggest("", [p.name for p in self._with(role)], f"{role}s"))
            return None
        return plugin

    def _injected(self, type_: str) -> Made:
        """Policies and detectors are there without being declared, under their types' names."""
        made = TYPES[type_](Params({}, "", [], []))
        roles = ("fairness", "ordering", "detector", "usage_limit")
        return made if any(role in made for role in roles) else {}

    # --- profiles ------------------------------------------------------------------------------

    def _profiles(self, root: Params) -> dict[str, PickingSettings]:
        entries = root.entries("schedulingProfiles")
        if not entries:
            every = [(p, 1.0) for p in self._plugins.values()]
            return {"default": self._profile("default", every, root)}
        found: dict[str, PickingSettings] = {}
        for entry in entries:
            name = entry.text("name", None)
            if not name:
                entry.wrong("name", "a profile has to have a name")
            elif name in found:
                entry.wrong("name", f"two profiles are called {name!r}", "name them apart")
            uses = []
            for use in entry.entries("plugins"):
                plugin = self._ref(use, "")
                weight = use.number("weight", 1.0)
                use.close()
                if plugin is not None:
                    uses.append((plugin, weight))
            entry.close()
            found[name or ""] = self._profile(name or "", uses, entry)
        return found

    def _profile(
        self, profile: str, uses: list[tuple[_Plugin, float]], entry: Params
    ) -> PickingSettings:
        filters, scorers, pickers = [], [], []
        filtering, scoring = [], []
        for plugin, weight in uses:
            if "filter" in plugin.made:
                name, settings = plugin.made["filter"]
                filters.append(UseSettings(name=name, settings=settings))
                filtering.append((plugin.type, plugin.name))
            if "scorer" in plugin.made:
                name, settings = plugin.made["scorer"]
                scorers.append(UseSettings(name=name, settings=settings, weight=weight))
                scoring.append((plugin.type, plugin.name))
            if "picker" in plugin.made:
                pickers.append(plugin)
        if len(pickers) > 1:
            names = " and ".join(p.name for p in pickers)
            entry.wrong("plugins", f"two pickers: {names}", "a profile has one")
        picker: str | dict[str, dict[str, Any]] = "max_score"
        picking = (_PICKER, _PICKER)
        if pickers:
            name, settings = pickers[0].made["picker"]
            picker, picking = {name: settings}, (pickers[0].type, pickers[0].name)
        self._called[profile] = (*filtering, *scoring, picking)
        return PickingSettings(
            filters=tuple(filters), scorers=tuple(scorers), picker=picker, when_none="refuse"
        )

    def _handler(self, profiles: Mapping[str, PickingSettings]) -> HandlerConfig:
        found = self._with("handler")
        if len(found) > 1:
            names = " and ".join(p.name for p in found)
            self.problems.append(Problem(f"two profile handlers: {names}", "plugins", "keep one"))
        if not found:
            if len(profiles) > 1:
                what = "several profiles, and no profile handler to choose among them"
                fix = "add a plugin of type disagg-profile-handler or header-profile-handler"
                self.problems.append(Problem(what, "schedulingProfiles", fix))
            return HandlerConfig()
        plugin = found[0]
        made = dict(plugin.made["handler"])
        kind = made["kind"]
        if kind in ("single", "data_parallel") and len(profiles) > 1:
            what = f"{plugin.type} takes one profile, not {len(profiles)}"
            fix = "keep one, or use disagg-profile-handler"
            self.problems.append(Problem(what, "schedulingProfiles", fix))
        if kind == "disagg":
            self._disagg(made, profiles)
        if kind == "header":
            usual = made["usual"] or next(iter(profiles))
            made["usual"] = usual
            self._named(usual, profiles)
        return HandlerConfig(**made)

    def _disagg(self, made: dict[str, Any], profiles: Mapping[str, PickingSettings]) -> None:
        for name in (made["decode"], made["prefill"]):
            self._named(name, profiles)
        ref = made.pop("decider", "")
        threshold = made.pop("tokens", None)
        if ref:
            plugin = self._plugins.get(ref)
            if plugin is None or "decider" not in plugin.made:
                deciders = [p.name for p in self._with("decider")]
                what = f"no decider {ref!r}"
                self.problems.append(Problem(what, "plugins", suggest(ref, deciders, "deciders")))
                return
            decider = dict(plugin.made["decider"])
        elif threshold is not None:
            decider = {"kind": "uncached" if threshold else "always", "tokens": threshold}
        else:
            found = self._with("decider")
            decider = dict(found[0].made["decider"]) if found else {"kind": "never"}
        made["decider"] = decider.pop("kind")
        made.update(decider)

    def _named(self, name: str, profiles: Mapping[str, PickingSettings]) -> None:
        if name not in profiles:
            fix = suggest(name, profiles, "profiles")
            self.problems.append(Problem(f"no profile {name!r}", "schedulingProfiles", fix))

    # --- the other sections --------------------------------------------------------------------

    def _data(self, root: Params) -> tuple[bool, str]:
        data = root.inner("dataLayer")
        inject = data.flag("injectDefaults", True)
        for source in data.entries("sources"):
            self._ref(source, "source")
            for extractor in source.entries("extractors"):
                self._ref(extractor, "extractor")
                extractor.close()
            source.close()
        file = ""
        discovery = data.inner("discovery")
        if "discovery" in data:
            plugin = self._ref(discovery, "discovery")
            if plugin is not None and "discovery" in plugin.made:
                file = plugin.made["discovery"]["path"]
        elif found := self._with("discovery"):
            file = found[0].made["discovery"]["path"]
        discovery.close()
        why = "pickers do not tell each other what they know here"
        data.missing(("peerDiscovery",), why)
        for name in list(data.names()):
            if name.startswith("crossReplicaSyncer"):
                data.missing((name,), why)
        data.close()
        return inject or any(p.made["source"] == "metrics" for p in self._with("source")), file

    def _reads(self, root: Params) -> Literal["json", "nothing"]:
        entries = root.inner("requestHandler")
        listed = entries.entries("parsers")
        entries.close()
        old = root.inner("parser")
        if "parser" in root:
            what = "this is the old place; write it in requestHandler.parsers"
            self.notes.append(Note("parser", what, "mapped"))
            listed = listed or [old]
        parsers = []
        for entry in listed:
            plugin = self._ref(entry, "parser")
            entry.close()
            if plugin is not None:
                parsers.append(plugin)
        if not listed:
            parsers = self._with("parser")
        reads = {p.made.get("parser") for p in parsers}
        return "nothing" if reads == {"nothing"} else "json"

    def _flow(self, root: Params, on: bool) -> tuple[DetectorConfig, FlowConfig | None]:
        flow = root.inner("flowControl")
        if "flowControl" in root and not on:
            what = "it does nothing without the feature gate flowControl"
            self.notes.append(Note("flowControl", what, "ignored"))
        declared = [p.made["detector"] for p in self._with("detector")]
        entry, given = flow.inner("saturationDetector"), "saturationDetector" in flow
        if "saturationDetector" in root:
            what = "this is the old place; write it in flowControl.saturationDetector"
            self.notes.append(Note("saturationDetector", what, "mapped"))
            if not given:
                entry, given = root.inner("saturationDetector"), True
        root.raw("saturationDetector")
        detector = detector_of(entry, given, declared, self._played)
        config = flow_of(flow, self._played)
        return detector, config if on else None

    def _played(self, entry: Params, role: str, name: str) -> Any:
        """What the plugin that is referred to plays as ``role``; ``None`` where that is wrong."""
        plugin = self._ref(entry, role, name)
        return plugin.made.get(role) if plugin is not None else None
