"""Settings in, :class:`~wayside.flow.Policy` out: every name looked up, every problem listed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

import wayside.engines
import wayside.plugins
import wayside.selection
import wayside.signals
import wayside.stores
from wayside.catalog import Family, Kind, catalog, discover
from wayside.decisions import Decider, Decision, compile_decision, leaves, parse_ref
from wayside.decisions.projection_order import compile_projections, projection_names
from wayside.decisions.projections import Projections
from wayside.dialects import encode
from wayside.engines import BUILT_IN, Engine
from wayside.flow import NO_MODEL, NOWHERE, Option, Policy, Recipe, Served, report, served
from wayside.flow.compose import Composer
from wayside.flow.named_by_path import Place
from wayside.flow.responses import Keeping
from wayside.flow.sticky import Sticky
from wayside.plugins import Plugin
from wayside.runtime import drafts, fallbacks, pickings, staying
from wayside.runtime.composers import asks_models, composer_of, problems
from wayside.runtime.engine_links import circles, leans_on, named, stores_named
from wayside.runtime.fallbacks import backed, fallbacks_of
from wayside.runtime.providers import target_of
from wayside.selection import Candidate, Selector
from wayside.settings import (
    Capability,
    Condition,
    CredentialSettings,
    DecisionSettings,
    EndpointSettings,
    ModelSettings,
    RouterSettings,
    RoutingSettings,
    Task,
)
from wayside.settings.address import strict_ip_problem
from wayside.settings.found import WHERE as FOUND
from wayside.settings.found import defaults_of
from wayside.settings.problems import problems_from, suggest
from wayside.settings.projections import PROJECTION
from wayside.signals import Signal
from wayside.stores import MEMORY, Store
from wayside.vocab.ask import Bank
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.headers import CREDENTIALS, header_name, header_value
from wayside.vocab.identity import Identity
from wayside.vocab.observed import ModelFacts
from wayside.vocab.outcome import Credential, HeaderPairs, Target
from wayside.vocab.taught import Taught
from wayside.vocab.verdict import SignalRef

_FAMILIES = (
    wayside.signals,
    wayside.selection,
    wayside.plugins,
    wayside.engines,
    wayside.stores,
)
for _package in _FAMILIES:
    discover(_package)

DEFAULT_RECIPE = "default"
MAX_FILE = 16 << 20
"""Bytes of a file that a setting of a plugin names."""
_ELSEWHERE = {
    ("plugin", "cache"): "response_cache",
    ("selector", "rl_driven"): "thompson",
    ("selector", "round_robin"): "weighted",
}
"""What other routers call a kind of ours: people try those names first."""
_TOP_LEVEL_EFFORT_HOSTS = (".api.openai.com", ".openrouter.ai")
Signals = dict[str, tuple[Signal, tuple[str, ...]]]
Keys = Callable[[CredentialSettings, str], Credential]


def no_keys(settings: CredentialSettings, where: str) -> Credential:
    """Stands in for real keys where nothing will be sent (``config check``)."""
    return Credential(settings.header, settings.prefix, "")


def compile_policy(
    settings: RouterSettings,
    *,
    keys: Keys = no_keys,
    created: int = 0,
    needs_endpoints: bool = True,
) -> Policy:
    """Compile, or raise :class:`ConfigError` with everything that is wrong at once.

    ``keys`` resolves credentials; ``created`` (Unix seconds) stamps ``/v1/models``;
    ``needs_endpoints`` is false where somebody else's Envoy knows where the models are.
    """
    return _Compiler(settings, keys, created, needs_endpoints).policy()


class _Compiler:
    """Collects problems instead of stopping at the first."""

    def __init__(
        self, settings: RouterSettings, keys: Keys, created: int, needs_endpoints: bool
    ) -> None:
        self.settings, self.keys, self.created = settings, keys, created
        self.needs_endpoints = needs_endpoints
        self.problems: list[Problem] = []
        self.targets: dict[str, Target] = {}
        who = settings.identity
        self.identity = Identity(
            who.user_header,
            who.groups_header,
            who.team_header,
            who.tenant_header,
            trusted=who.trusted,
            upstream=who.upstream,
        )
        header = settings.urgency.header
        self.removed = self.identity.removed + (() if header is None else (header,))
        self.problems += fallbacks.problems(settings)
        self.problems.extend(pickings.problems(settings))
        self.problems.extend(drafts.problems(settings.models))
        self.engine_rules: dict[str, tuple[str, Any]] = {}
        """Where each configured engine's settings stand, and those settings."""
        self.engine_tasks = self.engines()
        self.engines_used: set[str] = set()
        self.stores = self.store_capabilities()
        self.stores_used: set[str] = set()
        self.banks: list[Bank] = []
        self.taught: list[tuple[str, Taught]] = []
        self.asked_about: set[str] = set()
        self.engine_links()

    def policy(self) -> Policy:
        s = self.settings
        self.found()
        if not s.models and not s.routing.decisions and not s.recipes and s.registry is None:
            self.wrong("no model is configured", "models", "add one: models.NAME.endpoints")
        concrete = self.concrete()
        recipes = {DEFAULT_RECIPE: self.recipe(DEFAULT_RECIPE, s.routing, "routing")}
        for name, routing in s.recipes.items():
            if name == DEFAULT_RECIPE:
                self.wrong("'default' is the recipe under routing", f"recipes.{name}", "rename it")
            recipes[name] = self.recipe(name, routing, f"recipes.{name}")
        recipes, judged = staying.with_owners(s.learning, recipes)
        if judged:
            self.uses_engines(s.learning, "learning")
        virtual = self.virtual(recipes, concrete)
        guard = self.guard(recipes)
        keeping = self.keeping()
        if self.problems:
            raise ConfigError(list({str(p): p for p in self.problems}.values()))
        return Policy(
            recipes=recipes,
            virtual=virtual,
            concrete=concrete,
            listing=self.listing(virtual, concrete),
            targets=tuple(self.targets.values()),
            guard=guard,
            banks=tuple(self.banks),
            engines=frozenset(self.engines_used),
            stores=frozenset(self.stores_used),
            responses=keeping,
            taught=tuple(self.taught),
            asked_about=frozenset(self.asked_about),
            places=self.places(),
        )

    def found(self) -> None:
        """Check what is said of models that a cluster may have, before it has one."""
        try:
            model = defaults_of(self.settings)
        except ConfigError as error:
            self.problems.extend(error.problems)
            return
        if model is not None:
            somewhere = EndpointSettings(url="http://127.0.0.1:1")
            self.target("", model.model_copy(update={"endpoints": (somewhere,)}), FOUND)
            self.targets.clear()

    def keeping(self) -> Keeping:
        """Where answers of the Responses API are kept."""
        rule = self.settings.responses
        if not rule.enabled:
            return Keeping(self.identity)
        self.uses_engines(rule, "responses")
        return Keeping(self.identity, rule.store, rule.ttl_s, rule.max_turns, rule.max_bytes)

    def guard(self, recipes: Mapping[str, Recipe]) -> Recipe | None:
        name = self.settings.guard_recipe
        if name is not None and name not in recipes:
            self.wrong(f"no recipe {name!r}", "guard_recipe", suggest(name, recipes, "recipes"))
        return recipes.get(name) if name is not None else None

    def engines(self) -> dict[str, frozenset[Task]]:
        """What every engine can do, by name; those configured come before the built-in ones."""
        found = {name: frozenset([known.task]) for name, known in BUILT_IN.items()}
        for name, spec in self.settings.engines.items():
            at = f"engines.{name}"
            if len(spec) != 1:
                self.wrong("not one engine", at, "write {KIND: {its settings}}")
                continue
            ((kind_name, rule),) = spec.items()
            kind = self.kind("engine", kind_name, at, "engine kind")
            parsed = self.validated(kind, rule, f"{at}.{kind_name}") if kind else None
            if kind is None or parsed is None:
                found.setdefault(name, frozenset(get_args(Task)))  # one complaint is enough
                continue
            tasks = engine_class(kind).tasks_of(parsed)
            known = BUILT_IN.get(name)
            if known is not None and known.task not in tasks:
                can = " and ".join(sorted(tasks))
                self.wrong(
                    f"takes the place of the built-in {name!r}, which must {known.task}; "
                    f"this one can {can}",
                    at,
                    "give it another name",
                )
            found[name] = tasks
            self.engine_rules[name] = (f"{at}.{kind_name}", parsed)
        return found

    def engine_links(self) -> None:
        """Check the engines that engines ask."""
        for name, (where, rule) in self.engine_rules.items():
            for field, other, task in named(rule):
                if other != name or name not in BUILT_IN:
                    self.uses_engine(other, task, f"{where}.{field}")
        self.engines_used.clear()  # whoever asks them makes them
        links = {name: leans_on(name, rule) for name, (_, rule) in self.engine_rules.items()}
        for circle in circles(links):
            self.wrong(
                f"asks itself in the end: {' -> '.join(circle)}",
                self.engine_rules[circle[0]][0],
                "break the circle",
            )

    def store_capabilities(self) -> dict[str, frozenset[Capability]]:
        """What every store can do, by name."""
        memory = catalog.get("store", MEMORY)
        assert memory is not None
        found = {MEMORY: store_class(memory).capabilities_of(memory.settings())}
        for name, spec in self.settings.stores.items():
            at = f"stores.{name}"
            if len(spec) != 1:
                self.wrong("not one store", at, "write {KIND: {its settings}}")
                continue
            ((kind_name, rule),) = spec.items()
            kind = self.kind("store", kind_name, at, "store kind")
            parsed = self.validated(kind, rule, f"{at}.{kind_name}") if kind else None
            if kind and parsed is not None:
                found[name] = store_class(kind).capabilities_of(parsed)
        return found

    def uses_engines(self, rule: Any, where: str) -> None:
        """Check the engines and the stores that a rule's settings name."""
        for field, name, capability in stores_named(rule):
            can = self.stores.get(name)
            if can is None and name in self.settings.stores:
                continue  # what is wrong with it has been said
            if can is None:
                able = [n for n, does in self.stores.items() if capability in does]
                fix = suggest(
                    name, able, f"add it under `stores: {{{name}: ...}}`, or name one of"
                )
                self.wrong(f"no store {name!r}", f"{where}.{field}", fix)
            elif capability not in can:
                does = " and ".join(sorted(can))
                at = f"{where}.{field}"
                self.wrong(
                    f"store {name!r} is for {does}, not for {capability}", at, "name another"
                )
            else:
                self.stores_used.add(name)
        for field, name, task in named(rule):
            self.uses_engine(name, task, f"{where}.{field}")

    def needs_identity(self, rule: Any, where: str) -> None:
        known = self.identity.trusted or self.settings.maas is not None
        if getattr(rule, "needs_identity", False) and not known:
            self.wrong(
                "can do nothing: nothing tells the router who is asking",
                where,
                "set identity.trusted: true where a proxy sets or removes "
                f"{self.identity.user} and {self.identity.groups} on every request",
            )

    def uses_engine(self, name: str, task: Task, where: str) -> None:
        tasks = self.engine_tasks.get(name)
        if tasks is None:
            able = [n for n, can in self.engine_tasks.items() if task in can]
            self.wrong(f"no engine {name!r}", where, suggest(name, able, "engines"))
        elif task not in tasks:
            can = " and ".join(sorted(tasks))
            self.wrong(f"engine {name!r} does not {task}, it can {can}", where, "name another")
        else:
            self.engines_used.add(name)

    def wrong(self, what: str, where: str, fix: str = "") -> None:
        self.problems.append(Problem(what, where, fix))

    # models

    def concrete(self) -> dict[str, Served]:
        """Every name a client may ask for directly: models, aliases, adapters."""
        found: dict[str, Served] = {}
        pairs = drafts.drafts(self.settings.models)
        for name, model in self.settings.models.items():
            where = f"models.{name}"
            target = self.target(name, model, where)
            upstream = target.upstream_name
            names = {name: upstream, **dict.fromkeys(model.aliases, upstream)}
            names |= {lora.name: lora.name for lora in model.loras}
            names |= {draft: upstream for draft, to in pairs.items() if to == name}
            for asked, sent in names.items():
                if asked in found:
                    other = found[asked].target.name
                    self.wrong(f"{asked!r} already names model {other!r}", where, "rename one")
                found[asked] = served(target, asked, sent, _headers(model), self.removed)
        return {asked: self.with_fallbacks(asked, name) for asked, name in found.items()}

    def places(self) -> dict[str, Place]:
        """How paths name models: by name, by alias, and as a cluster calls them. Nothing where
        there is no gate."""
        if self.settings.maas is None:
            return {}
        cluster = self.settings.maas.kubernetes
        home = "" if cluster is None else cluster.models_namespace
        found = {name: Place(name, home) for name in self.settings.models}
        for name, model in self.settings.models.items():
            called = name.lower() if cluster is None else cluster.models.get(name, name.lower())
            said, slash, service = called.rpartition("/")
            place = Place(name, said if slash else home)
            for other in (*model.aliases, service):
                found.setdefault(other, place)
        return found

    def with_fallbacks(self, asked: str, to: Served) -> Served:
        """Who answers in the place of a model that the client names."""
        lora = (
            asked
            if asked in [x.name for x in self.settings.models[to.target.name].loras]
            else None
        )
        found = fallbacks_of(
            Candidate(to.target.name, lora=lora),
            self.settings.models,
            lambda candidate, _: self.option("", "", "named", candidate, (), ""),
        )
        return to if found is None else dataclasses.replace(to, fallbacks=found)

    def target(self, name: str, model: ModelSettings, where: str) -> Target:
        if self.needs_endpoints and not model.endpoints and model.discover is None:
            azure = model.provider == "azure-openai"
            such = "https://RESOURCE.openai.azure.com" if azure else "http://host:8000"
            self.wrong("no endpoint", f"{where}.endpoints", f"add one, such as {such}")
        bases = {e.address.base_path or "/v1" for e in model.endpoints}
        if model.discover is not None and model.discover.dns is not None:
            bases.add(model.discover.dns.path or "/v1")
        if len(bases) > 1:
            self.wrong(
                f"endpoints differ in their paths: {', '.join(sorted(bases))}",
                f"{where}.endpoints",
                "make it two models, or serve them under one path",
            )
        if self.settings.strict_ip:
            for i, endpoint in enumerate(model.endpoints):
                if not endpoint.address.is_ip:
                    said = strict_ip_problem(endpoint.address.host) or ""
                    self.wrong(said, f"{where}.endpoints[{i}]", "strict_ip accepts only addresses")
        family = model.reasoning_family
        if family is not None and family not in self.settings.reasoning_families:
            fix = suggest(family, self.settings.reasoning_families, "families")
            self.wrong(f"no reasoning family {family!r}", f"{where}.reasoning_family", fix)
        for header, value in model.headers.items():
            try:
                header_value(value)
                if header_name(header) in CREDENTIALS:
                    fix = "a key is given by reference: credential: {env: NAME}"
                    self.wrong("carries a key", f"{where}.headers.{header}", fix)
            except ValueError as error:
                self.wrong(str(error), f"{where}.headers.{header}")
        credential = None
        if model.credential is not None:
            try:
                credential = self.keys(model.credential, f"{where}.credential")
            except ConfigError as error:
                self.problems.extend(error.problems)
        target = target_of(name, model, min(bases, default="/v1"), credential)
        self.targets[name] = target
        return target

    # recipes

    def recipe(self, name: str, routing: RoutingSettings, where: str) -> Recipe:
        decisions: list[Decision] = []
        selectors: dict[str, tuple[str, Selector]] = {}
        options: dict[tuple[str, Candidate], Option] = {}
        by_decision: dict[str, tuple[Plugin, ...]] = {}
        composers: dict[str, Composer] = {}
        default = self.default(name, routing, where)
        for i, d in enumerate(routing.decisions):
            at = f"{where}.decisions[{i}]"
            if d.name in selectors:
                self.wrong(f"decision {d.name!r} is written twice", f"{at}.name", "rename one")
            candidates = tuple(
                Candidate(c.model, c.weight, c.lora, c.reasoning, c.effort) for c in d.models
            )
            decisions.append(compile_decision(d, candidates))
            selectors[d.name] = self.selector(d, at)
            plugins = by_decision[d.name] = self.plugins(d, at)
            if not candidates and default is not None:
                candidates = (default.candidate,)
            for j, candidate in enumerate(candidates):
                algorithm = selectors[d.name][0] if d.models else "default"
                option = self.option(
                    name, d.name, algorithm, candidate, plugins, f"{at}.models[{j}]"
                )
                if option is not None:
                    make = partial(self.option, name, d.name, algorithm)
                    option = backed(option, self.settings.models, make, plugins, d.fallbacks, at)
                    options[d.name, candidate] = option
            self.composer(d, selectors[d.name], candidates, options, composers, at)
            if not d.models and any(getattr(plugin, "answers", False) for plugin in plugins):
                options[d.name, NO_MODEL] = Option(NOWHERE, NO_MODEL, (), plugins)
        projections = self.projections(routing, where)
        signals, every_signal, rules = self.signals(routing, projections, where)
        return Recipe(
            name=name,
            signals=signals,
            every_signal=every_signal,
            rules=rules,
            decider=Decider(decisions, routing.strategy),
            selectors=selectors,
            options=options,
            plugins=by_decision,
            composers=composers,
            policies={d.name: self.digest(d, d.name in composers) for d in routing.decisions},
            default=default,
            identity=self.identity,
            projections=projections,
            sticky=self.sticky(name, routing, selectors, where),
            learning=staying.learning(selectors),
        )

    def sticky(
        self, name: str, routing: RoutingSettings, selectors: staying.Selectors, where: str
    ) -> dict[str, Sticky]:
        """How conversations stay, and the stores where they are remembered."""
        found = staying.sticky(name, routing, selectors)
        for i, d in enumerate(routing.decisions):
            if d.name in found:
                at = where if d.sticky is None else f"{where}.decisions[{i}]"
                self.uses_engines(found[d.name].rule, f"{at}.sticky")
        return found

    def composer(
        self,
        d: DecisionSettings,
        select: tuple[str, Selector],
        candidates: tuple[Candidate, ...],
        options: Mapping[tuple[str, Candidate], Option],
        composers: dict[str, Composer],
        where: str,
    ) -> None:
        """Note a decision whose algorithm asks models itself."""
        name, selector = select
        if not asks_models(selector):
            return
        mine = {c: option for (decision, c), option in options.items() if decision == d.name}
        found = list(problems(name, selector, candidates, self.settings, where))
        self.problems.extend(found)
        if not found:
            facts = {model: self.facts(model) for model in self.settings.models}
            composers[d.name] = composer_of(
                name, selector, candidates, mine, facts, self.settings.multi_call
            )

    def default(self, recipe: str, routing: RoutingSettings, where: str) -> Option | None:
        name = routing.default_model or self.settings.routing.default_model
        if name is None:
            return None
        at = f"{where}.default_model"
        option = self.option(recipe, "", "default", Candidate(name), (), at)
        if option is None:
            return None
        make = partial(self.option, recipe, "", "default")
        return backed(option, self.settings.models, make, (), None, at)

    def option(
        self,
        recipe: str,
        decision: str,
        algorithm: str,
        candidate: Candidate,
        plugins: tuple[Plugin, ...],
        where: str,
    ) -> Option | None:
        model = self.settings.models.get(candidate.model)
        if model is None:
            fix = drafts.hint(candidate.model, self.settings.models)
            fix = fix or suggest(candidate.model, self.settings.models, "models")
            if self.settings.registry is not None:
                fix += "; or the cluster has yet to have it (registry)"
            self.wrong(f"no model {candidate.model!r}", where, fix)
            return None
        adapters = [lora.name for lora in model.loras]
        if candidate.lora is not None and candidate.lora not in adapters:
            fix = suggest(candidate.lora, adapters, f"adapters of {candidate.model}")
            self.wrong(f"no adapter {candidate.lora!r}", f"{where}.lora", fix)
        family = None
        if candidate.reasoning is not None and model.reasoning_family is not None:
            family = self.settings.reasoning_families.get(model.reasoning_family)
        at_top = model.effort_at_top_level
        if at_top is None:
            hosts = {e.address.host for e in model.endpoints}
            at_top = any(f".{h}".endswith(_TOP_LEVEL_EFFORT_HOSTS) for h in hosts)
            at_top = at_top or model.protocol == "responses"
        target = self.targets[candidate.model]
        sent = candidate.lora or target.upstream_name
        return Option(
            served=served(target, "", sent, _headers(model), self.removed),
            candidate=candidate,
            report=report.routed(recipe, decision, algorithm, candidate.lora or target.name),
            plugins=plugins,
            family=family,
            effort=candidate.effort or self.settings.default_effort,
            effort_at_top_level=at_top,
        )

    def projections(self, routing: RoutingSettings, where: str) -> Projections:
        """Those that rules need, and a look at how rules name them."""
        scores, bands = projection_names(routing.projections)
        wanted: list[SignalRef] = []
        for at, leaf in _leaves(routing, where):
            ref = parse_ref(leaf.signal or "")
            wanted.append(ref)
            if ref.kind != PROJECTION:
                continue
            if ref.name not in (*scores, *bands):
                fix = suggest(ref.name, [*scores, *bands], "scores and bands")
                self.wrong(f"no projection {ref.name!r}", at, fix)
            elif ref.name in scores and not leaf.compares:
                fix = "compare it: {signal: " + str(ref) + ", gte: 0.5}, or name a band"
                self.wrong(f"{str(ref)!r} is a score, a number that never matches", at, fix)
        at = f"{where}.projections"
        return compile_projections(routing.projections, wanted, at, self.problems)

    def signals(
        self, routing: RoutingSettings, projections: Projections, where: str
    ) -> tuple[Signals, Signals, dict[SignalRef, Any]]:
        """Signals for the rules that decisions refer to, for all rules, and all settings."""
        used = {ref: f"{where}.projections" for ref in projections.refs}
        used |= {parse_ref(leaf.signal or ""): at for at, leaf in _leaves(routing, where)}
        used = {ref: at for ref, at in used.items() if ref.kind != PROJECTION}
        built: Signals = {}
        every: Signals = {}
        settings: dict[SignalRef, Any] = {}
        for kind_name, rules in routing.signals.items():
            kind = self.kind("signal", kind_name, f"{where}.signals.{kind_name}", "signal kind")
            if kind is None:
                continue
            valid: dict[str, Any] = {}
            for rule_name, rule in rules.items():
                at = f"{where}.signals.{kind_name}.{rule_name}"
                parsed = self.validated(kind, rule, at)
                if parsed is not None:
                    valid[rule_name] = settings[SignalRef(kind_name, rule_name)] = parsed
                    if SignalRef(kind_name, rule_name) in used:
                        self.uses_engines(parsed, at)
                        self.needs_identity(parsed, at)
            wanted = {n: r for n, r in valid.items() if (kind_name, n) in used}
            try:
                every[kind_name] = (kind.build(valid), tuple(valid))
                if wanted:
                    built[kind_name] = (kind.build(wanted), tuple(wanted))
                    self.banks.extend(getattr(built[kind_name][0], "banks", {}).values())
            except ConfigError as error:
                at = f"{where}.signals.{kind_name}"
                self.problems.extend(
                    Problem(p.what, f"{at}.{p.where}" if p.where else at, p.fix)
                    for p in error.problems
                )
        for ref, at in used.items():
            if ref.kind not in routing.signals:
                known = routing.signals or {k: {} for k in catalog.names("signal")}
                fix = suggest(ref.kind, known, "configured kinds")
                self.wrong(f"no signal {str(ref)!r}: kind {ref.kind!r} has no rules", at, fix)
            elif ref.name not in routing.signals[ref.kind]:
                fix = suggest(ref.name, routing.signals[ref.kind], f"{ref.kind} rules")
                self.wrong(f"no signal {str(ref)!r}", at, fix)
        return built, every, settings

    def selector(self, d: DecisionSettings, where: str) -> tuple[str, Selector]:
        name, rule = d.selector
        kind = self.kind("selector", name, f"{where}.select", "selection algorithm")
        parsed = self.validated(kind, rule, f"{where}.select.{name}") if kind else None
        if kind is None or parsed is None:
            kind = catalog.get("selector", "static")
            assert kind is not None
            parsed = kind.settings()
        self.uses_engines(parsed, f"{where}.select.{name}")
        selector = kind.build(parsed)
        meet = getattr(selector, "meet", None)
        if meet is not None:
            try:
                meet(tuple([self.facts(c.model) for c in d.models]))
            except ConfigError as error:
                self.problems.extend(
                    Problem(p.what, f"{where}.select.{name}" + (p.where and f".{p.where}"), p.fix)
                    for p in error.problems
                )
        if "vitals" in getattr(selector, "reads", ()):
            self.asked_about.update(c.model for c in d.models)
        self.banks.extend(getattr(selector, "banks", {}).values())
        if (taught := getattr(selector, "taught", None)) is not None:
            self.taught.append((f"{where}.select.{name}", taught))
        return name, selector

    def facts(self, name: str) -> ModelFacts:
        """What selection algorithms may know of a model before any request."""
        model = self.settings.models.get(name)
        if model is None:  # told where it is looked up
            return ModelFacts(name=name)
        price = model.price
        return ModelFacts(
            name=name,
            description=model.description,
            capabilities=model.capabilities,
            quality=model.quality,
            parameters_b=model.parameters_b,
            prompt_per_1m=price.prompt_per_1m if price else None,
            completion_per_1m=price.completion_per_1m if price else None,
            cached_per_1m=price.cached_input_per_1m if price else None,
            written_per_1m=price.cache_write_per_1m if price else None,
            currency=price.currency if price else "USD",
            context_window=model.context_window,
        )

    def plugins(self, d: DecisionSettings, where: str) -> tuple[Plugin, ...]:
        built: list[Plugin] = []
        kinds: dict[str, str] = {}
        for name, rule in d.plugins.items():
            at = f"{where}.plugins.{name}"
            kind = self.kind("plugin", name, at, "plugin")
            if kind and kind.name in kinds:
                fix = "keep one of them"
                self.wrong(f"{name!r} is {kinds[kind.name]!r}, which is there already", at, fix)
                continue
            parsed = self.validated(kind, rule, at) if kind else None
            if kind and parsed is not None:
                kinds[kind.name] = name
                self.uses_engines(parsed, at)
                self.needs_identity(parsed, at)
                plugin = kind.build(parsed)
                for field, take in getattr(plugin, "reads", {}).items():
                    self.read_file(getattr(parsed, field), take, f"{at}.{field}")
                self.banks.extend(getattr(plugin, "banks", {}).values())
                built.append(plugin)
        return tuple(sorted(built, key=_turn))

    def digest(self, d: DecisionSettings, composes: bool) -> str:
        """What tells a decision's answers from those under other settings: its plugins, in their
        order, and the engines that these may ask; where its algorithm makes answers, that, too."""
        told: list[Any] = [list(d.plugins.items()), sorted(self.settings.engines.items())]
        if composes:
            told += [d.selector, d.models]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]

    def read_file(self, path: str, take: Callable[[bytes], None], where: str) -> None:
        """Hand the content of a file that a setting names to whoever wants it."""
        try:
            with Path(path).open("rb") as file:
                raw = file.read(MAX_FILE + 1)
            if len(raw) > MAX_FILE:
                raise ConfigError.one(f"{path} is larger than {MAX_FILE >> 20} MiB")
            take(raw)
        except OSError as error:
            self.wrong(f"cannot read {path}: {error.strerror}", where, "name a file that is there")
        except ConfigError as error:
            self.problems.extend(Problem(p.what, where, p.fix) for p in error.problems)

    def kind(self, family: Family, name: str, where: str, what: str) -> Kind | None:
        found = catalog.get(family, name)
        if found is None:
            here = _ELSEWHERE.get((family, name.replace("-", "_")), name)
            self.wrong(f"no {what} {name!r}", where, suggest(here, catalog.names(family), "known"))
        return found

    def validated(self, kind: Kind, rule: Mapping[str, Any], where: str) -> Any:
        try:
            return kind.settings.model_validate(rule)
        except ValidationError as error:
            self.problems.extend(problems_from(error, kind.settings, where))
            return None

    # names

    def virtual(
        self, recipes: Mapping[str, Recipe], concrete: Mapping[str, Served]
    ) -> dict[str, Recipe]:
        found = dict.fromkeys(self.settings.auto_names, recipes[DEFAULT_RECIPE])
        for i, entry in enumerate(self.settings.entrypoints):
            at = f"entrypoints[{i}]"
            recipe = recipes.get(entry.recipe)
            if recipe is None:
                fix = suggest(entry.recipe, recipes, "recipes")
                self.wrong(f"no recipe {entry.recipe!r}", f"{at}.recipe", fix)
                continue
            for name in entry.names:
                if name in found and found[name] is not recipe:
                    self.wrong(f"{name!r} already routes", f"{at}.names", "use another name")
                found[name] = recipe
        for name in found:
            if name in concrete:
                self.wrong(f"{name!r} names a model and asks for a choice", "models", "rename one")
        return found

    def listing(
        self, virtual: Mapping[str, Recipe], concrete: Mapping[str, Served]
    ) -> dict[str, bytes]:
        items: dict[str, bytes] = {}
        for name, recipe in virtual.items():
            routing = {
                "resolution": "virtual",
                "selectable": True,
                "default_route": name in self.settings.auto_names[:1],
                "recipe": recipe.name,
            }
            items[name] = self.item(name, "wayside", "Chooses a model by meaning.", routing)
        if self.settings.list_models:
            pairs = drafts.drafts(self.settings.models)
            for name, to in concrete.items():
                if name in pairs:  # it is the target that answers
                    continue
                model = self.settings.models[to.target.name]
                routing = {"resolution": "passthrough", "selectable": True, "recipe": ""}
                if model.speculative is not None:
                    routing["speculative"] = model.speculative.model_dump(exclude_none=True)
                items[name] = self.item(
                    name, "upstream-endpoint", model.description, routing, model.context_window
                )
        return items

    def item(
        self,
        name: str,
        owner: str,
        description: str,
        routing: dict[str, Any],
        context_window: int | None = None,
    ) -> bytes:
        told: dict[str, Any] = {
            "id": name,
            "object": "model",
            "created": self.created,
            "owned_by": owner,
            "description": description,
            "routing": routing,
        }
        if context_window is not None:
            told["max_model_len"] = context_window  # the name vLLM gives it
        return encode(told)


def store_class(kind: Kind) -> type[Store]:
    """The class behind a kind of the family ``store``."""
    assert isinstance(kind.build, type) and issubclass(kind.build, Store)
    return kind.build


def engine_class(kind: Kind) -> type[Engine]:
    """The class behind a kind of the family ``engine``."""
    assert isinstance(kind.build, type) and issubclass(kind.build, Engine)
    return kind.build


def _turn(plugin: Plugin) -> int:
    """When a plugin runs, whatever the order it is written in."""
    return 1 if getattr(plugin, "last", False) else -1 if getattr(plugin, "first", False) else 0


def _leaves(routing: RoutingSettings, where: str) -> Iterator[tuple[str, Condition]]:
    """Every signal that a decision's rule names, with the path to the rule."""
    for i, d in enumerate(routing.decisions):
        for leaf in leaves(d.when):
            yield f"{where}.decisions[{i}].when", leaf


def _headers(model: ModelSettings) -> HeaderPairs:
    return tuple((name.lower(), value) for name, value in model.headers.items())
