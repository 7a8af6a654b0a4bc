"""``flowControl`` of an EndpointPickerConfig: who waits, how long, and when a pool is full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wayside.translate.picker_config import BandConfig, DetectorConfig, FlowConfig
from wayside.translate.picker_params import Params
from wayside.translate.picker_plugins import utilization

Played = Callable[[Params, str, str], Any]
"""What the plugin named by a key of a mapping plays in a role."""


def flow_of(flow: Params, played: Played) -> FlowConfig:
    """The section, whether or not its feature gate is on."""
    usual = _band(flow.inner("defaultPriorityBand"), BandConfig(), played)
    negative = None
    below = flow.inner("defaultNegativePriorityBand")
    if "defaultNegativePriorityBand" in flow:
        negative = _band(below, usual, played)
    bands = []
    for entry in flow.entries("priorityBands"):
        value = entry.raw("priority")
        if not isinstance(value, int) or isinstance(value, bool):
            entry.wrong("priority", "a whole number is wanted")
            value = 0
        bands.append(_band(entry, usual, played, value))
    if len({band.priority for band in bands}) < len(bands):
        flow.wrong("priorityBands", "two bands have the same priority", "keep one of each")
    found = FlowConfig(
        max_requests=flow.whole("maxRequests", 0),
        max_bytes=flow.bytes("maxBytes", 0),
        ttl_s=flow.seconds("defaultRequestTTL", 60.0),
        patience_s=flow.seconds("noEndpointRequestTTL", 0.0),
        bands=tuple(bands),
        usual=usual,
        negative=negative,
    )
    if "usageLimitPolicyPluginRef" in flow:
        played(flow, "usage_limit", "usageLimitPolicyPluginRef")
    flow.raw("usageLimitPolicyPluginRef")
    flow.missing(("enableEviction",), "requests that were sent are not called back")
    flow.close()
    return found


def detector_of(
    entry: Params, given: bool, declared: Sequence[dict[str, Any]], played: Played
) -> DetectorConfig:
    """The ``saturationDetector`` that is referred to or spelt out, else the one ``declared``
    among the plugins, else the usual one."""
    if given and "pluginRef" in entry:
        made = played(entry, "detector", "pluginRef")
        entry.close()
        return DetectorConfig(**made) if made else DetectorConfig()
    entry.raw("pluginRef")
    if not given and declared:
        return DetectorConfig(**declared[0])
    made = utilization(entry)
    entry.close()
    return DetectorConfig(**made)


def _band(entry: Params, usual: BandConfig, played: Played, priority: int = 0) -> BandConfig:
    made: dict[str, Any] = {}
    for role, name in (("ordering", "orderingPolicyRef"), ("fairness", "fairnessPolicyRef")):
        if name in entry and (policy := played(entry, role, name)):
            made[role] = policy
        entry.raw(name)
    band = BandConfig(
        priority=priority,
        max_requests=entry.whole("maxRequests", usual.max_requests, least=1),
        max_bytes=entry.bytes("maxBytes", usual.max_bytes),
        ordering=made.get("ordering", usual.ordering),
        fairness=made.get("fairness", usual.fairness),
    )
    entry.close()
    return band
