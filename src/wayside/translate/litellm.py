"""LiteLLM's proxy: its ``config.yaml`` (docs.litellm.ai, "Config.yaml" and "All settings").

``model_list`` becomes ``models``, with a recipe where entries of one name differ in more than
their address; retries, cooldowns, fallbacks, aliases, strategies and prices become ours. Keys,
teams and budgets are in LiteLLM's database and not in this file: ``maas`` is their place here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wayside.translate.litellm_deployments import read_deployment, variable
from wayside.translate.litellm_groups import Groups, fallbacks
from wayside.translate.litellm_rest import GENERAL, LITELLM, ROUTER, SECTIONS
from wayside.translate.notes import Translation
from wayside.translate.reading import Ledger, Reader

NAME = "litellm"
_STRATEGIES: Final = {
    "simple_shuffle": None,
    "least_busy": "least_requests",
    "usage_based_routing": "token_load",
    "usage_based_routing_v2": "token_load",
    "latency_based_routing": "latency",
}
_RETRIED: Final = (
    ("TimeoutErrorRetries", ("connect", "reset", "timeout")),
    ("RateLimitErrorRetries", ("429",)),
    ("InternalServerErrorRetries", ("500", "502", "503", "504")),
)
_LENT: Final = (
    "api_key", "api_base", "api_version", "organization",
    "aws_region_name", "vertex_project", "vertex_location",
)  # fmt: skip
"""What a named credential can give an entry."""
_UNASKED: Final = (
    "AuthenticationErrorRetries", "BadRequestErrorRetries", "ContentPolicyViolationErrorRetries",
)  # fmt: skip


def recognises(document: Mapping[Any, Any]) -> bool:
    """Whether ``document`` is of this format."""
    if "model_list" in document and "kind" not in document:
        return True
    return "litellm_settings" in document


def translate(document: Mapping[Any, Any]) -> Translation:
    """The whole of ``document``. See :mod:`wayside.translate` for what the notes promise."""
    ledger = Ledger()
    root = ledger.reader(document)
    credentials = _credentials(root)
    entries = [read_deployment(entry, credentials) for entry in root.each("model_list")]
    groups = Groups([entry for entry in entries if entry is not None])
    module, router = root.inner("litellm_settings"), root.inner("router_settings")
    general = root.inner("general_settings")
    groups.between()
    _aliases(module, "model_alias_map", groups)
    _aliases(router, "model_group_alias", groups)
    _fallbacks(module, router, groups, ledger)
    _each_model(module, router, general, groups)
    settings = groups.settings()
    _picking(router, settings)
    _whole(module, general, groups, settings)
    for reader, table in ((module, LITELLM), (router, ROUTER), (general, GENERAL)):
        for key, (why, severity) in table.items():
            reader.set_aside(key, why, severity)
    for key, (why, severity) in SECTIONS.items():
        root.set_aside(key, why, severity)
    return Translation(settings, ledger.close(), NAME)


def _credentials(root: Reader) -> dict[str, dict[str, Any]]:
    """``credential_list``, by name."""
    found = {}
    wanted = [e.inner("litellm_params").raw("litellm_credential_name")
              for e in root.each("model_list")]  # fmt: skip
    for entry in root.each("credential_list"):
        name = entry.text("credential_name") or ""
        values = entry.inner("credential_values")
        entry.remark("credential_info")
        kept = {}
        for key in _LENT:
            value = values.raw(key)
            if key == "api_key" and isinstance(value, str) and variable(value) is None:
                values.note("a key in the document itself is not copied; write os.environ/NAME",
                            "refused", key=key)  # fmt: skip
            elif value is not None:
                kept[key] = value
        if name in wanted and name:
            found[name] = kept
        else:
            entry.leave_out("no model of this file has it", "ignored")
    return found


def _aliases(reader: Reader, key: str, groups: Groups) -> None:
    inner = reader.inner(key)
    for alias in inner:
        value = inner.raw(alias)
        if isinstance(value, Mapping):
            written = reader.ledger.reader(value, inner.at(alias))
            written.set_aside("hidden", "every name is listed", "unsupported")
            value = written.text("model")
        if not isinstance(value, str) or not groups.alias(alias, value):
            said = "an alias is a name of its own for a model_name of this file; left out"
            inner.note(said, "refused", key=alias)


def _fallbacks(module: Reader, router: Reader, groups: Groups, ledger: Ledger) -> None:
    """What ``router_settings`` says wins over ``litellm_settings``."""
    most = router.whole("max_fallbacks", low=0, high=100)
    for key, on in (
        ("fallbacks", ("failure", "overload")),
        ("context_window_fallbacks", ("context_length",)),
    ):
        reader = router if key in router else module
        if reader is router:
            module.set_aside(key, "router_settings says it, too, and wins", "ignored")
        named: dict[str, list[str]] = {}
        for group, others in fallbacks(reader, key, groups, ledger):
            for one in groups.names() if group == "*" else [group]:
                named.setdefault(one, [o for o in others if o != one])
        for group, others in named.items():
            groups.fall_back(group, others[:most], on)
    default = []
    for reader in (router, module):
        for i, other in enumerate(reader.texts("default_fallbacks")):
            if other in groups.members:
                default.append(other)
            else:
                path = f"{reader.at('default_fallbacks')}[{i}]"
                ledger.add(path, "no model_name of this file", "refused")
    for group in groups.names() if default else ():
        if not any(groups.models[m].get("fallbacks") for m in groups.members[group]):
            others = [o for o in dict.fromkeys(default) if o != group]
            groups.fall_back(group, others[:most], ("failure", "overload"))


def _each_model(module: Reader, router: Reader, general: Reader, groups: Groups) -> None:
    """What is said once there and of each model here."""
    shared: dict[str, Any] = {}
    retries = _first(module, router, "num_retries", high=9)
    policy = _retry_policy(router)
    if retries is not None or policy:
        shared["retries"] = {**({"attempts": int(retries) + 1} if retries is not None else {}),
                             **policy}  # fmt: skip
    timeouts: dict[str, float] = {}
    for keys, ours in (
        ((router, "timeout"), "first_byte_s"),
        ((module, "request_timeout"), "first_byte_s"),
        ((router, "stream_timeout"), "first_token_s"),
    ):
        seconds = keys[0].number(keys[1], low=0.001, high=86_400)
        if seconds is not None:
            if ours in timeouts:
                keys[0].note("router_settings.timeout wins", "ignored", key=keys[1])
            timeouts.setdefault(ours, seconds)
    if breaker := _breaker(module, router):
        shared["breaker"] = breaker
    if checks := _checks(general):
        shared["check_models"] = checks
    at_once = router.whole("default_max_parallel_requests", low=1)
    each = general.whole("max_parallel_requests", low=1)
    if each is not None and at_once is not None:
        general.note("router_settings.default_max_parallel_requests wins", "ignored",
                     key="max_parallel_requests")  # fmt: skip
    at_once = at_once or each
    for model in groups.models.values():
        for key, value in shared.items():
            if key == "check_models" and model.get("provider"):
                continue
            model[key] = {**value, **model.get(key, {})}
        if timeouts:
            model["timeouts"] = {**timeouts, **model.get("timeouts", {})}
        if at_once is not None and "endpoints" in model:
            for endpoint in model["endpoints"]:
                endpoint.setdefault("max_in_flight", at_once)
        elif at_once is not None:
            model["queue"] = {"max_in_flight": at_once}


def _first(module: Reader, router: Reader, key: str, *, high: float) -> float | None:
    """``router_settings`` wins."""
    if key in router:
        module.set_aside(key, "router_settings says it, too, and wins", "ignored")
        return router.whole(key, low=0, high=int(high))
    return module.whole(key, low=0, high=int(high))


def _retry_policy(router: Reader) -> dict[str, Any]:
    policy = router.inner("retry_policy")
    counts = {key: policy.whole(key, low=0, high=9) for key, _ in _RETRIED}
    for key in _UNASKED:
        policy.set_aside(key, "the same request would be refused again", "unsupported")
    given = {key: count for key, count in counts.items() if count is not None}
    if not given:
        return {}
    most = max(given.values())
    for key, count in given.items():
        if 0 < count < most:
            policy.note(f"the greatest of them holds for all: {most}", "mapped", key=key)
    on = [trouble for key, troubles in _RETRIED for trouble in troubles if counts[key] != 0]
    return {"attempts": most + 1, "retry_on": on}


def _breaker(module: Reader, router: Reader) -> dict[str, Any]:
    out: dict[str, Any] = {}
    fails = _first(module, router, "allowed_fails", high=100_000)
    if fails is not None:
        out["errors"] = int(fails) + 1
        owner = router if "allowed_fails" in router else module
        said = "counted in a row, and not by the minute"
        owner.note(said, "mapped", key="allowed_fails")
    owner = router if "cooldown_time" in router else module
    if owner is router:
        module.set_aside("cooldown_time", "router_settings says it, too, and wins", "ignored")
    pause = owner.number("cooldown_time", low=0.001, high=86_400)
    if pause is not None:
        out |= {"pause_s": pause, "longest_pause_s": max(pause, 30.0)}
    if router.flag("disable_cooldowns"):
        out["errors"] = 0
        said = "servers that cannot be reached are still left out for a moment"
        router.note(said, "mapped", key="disable_cooldowns")
    return out


def _checks(general: Reader) -> dict[str, Any] | None:
    """Servers of one's own are asked what they serve; nobody is asked for an answer."""
    if not general.flag("background_health_checks"):
        general.set_aside("health_check_interval", "background_health_checks is not on", "ignored")
        return None
    said = "servers are asked for /v1/models, and not for an answer; providers are not asked"
    general.note(said, "mapped", key="background_health_checks")
    interval = general.number("health_check_interval", low=0.01, high=86_400)
    return {"interval_s": 300.0 if interval is None else interval}


def _picking(router: Reader, settings: dict[str, Any]) -> None:
    strategy = router.text("routing_strategy")
    if strategy is None:
        return
    plain = strategy.lower().replace("-", "_")
    if plain not in _STRATEGIES:
        known = ", ".join(name.replace("_", "-") for name in _STRATEGIES)
        said = f"{strategy!r} is not one of {known}; deployments are drawn by weight"
        router.note(said, "refused", key="routing_strategy")
    elif picked := _STRATEGIES[plain]:
        settings["picking"] = picked
        if "recipes" in settings:
            said = "between deployments that differ in more than their address weights decide"
            router.note(said, "mapped", key="routing_strategy")
    else:
        said = "two are drawn by weight, and the less loaded one is taken"
        router.note(said, "ignored", key="routing_strategy")


def _whole(module: Reader, general: Reader, groups: Groups, settings: dict[str, Any]) -> None:
    """What is said of the proxy itself."""
    default = general.text("completion_model")
    if default is not None:
        if default in groups.members:
            settings["routing"] = {"default_model": groups.members[default][0]}
        else:
            general.note("no model_name of this file", "refused", key="completion_model")
    size = general.number("max_request_size_mb", low=0.001, high=1_000_000)
    if size is not None:
        settings["limits"] = {"max_body_bytes": int(size * (1 << 20))}
    if module.flag("json_logs"):
        settings["log"] = {"format": "json"}
