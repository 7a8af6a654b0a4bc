"""What model servers are told, for an InferenceService: files that a pod of vLLM mounts.

We run no model servers: they own GPUs, images and weights that these kinds say little of. What
the kinds do say of them becomes a configuration for ``vllm serve --config``, one for LMCache, and
a patch that puts both, with image and resources, into a Deployment that is there.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from wayside.manifests.production_stack_chain import Chain
from wayside.manifests.production_stack_specs import (
    DisaggregatedPrefill,
    InferenceCacheSpec,
    PrefillDecodingSpec,
    SpeculativeDecodingSpec,
)
from wayside.vocab.roles import ROLE_LABEL

AT = "/etc/wayside/engine"
"""Where the patch mounts the ConfigMap."""
_METHODS = {
    "draft": "draft_model",
    "ngram": "ngram",
    "mlp": "mlp_speculator",
    "eagle": "eagle",
}
"""What vLLM calls them (``vllm/config/speculative.py``)."""
_ROLES = {"prefill": "kv_producer", "decode": "kv_consumer"}


def speculative_config(of: SpeculativeDecodingSpec) -> dict[str, Any]:
    """vLLM's ``--speculative-config``."""
    found: dict[str, Any] = {"method": _METHODS[of.speculation_type]}
    if of.draft_model:
        found["model"] = of.draft_model
    found["num_speculative_tokens"] = of.num_speculative_tokens
    if of.draft_tensor_parallel_size is not None:
        found["draft_tensor_parallel_size"] = of.draft_tensor_parallel_size
    if of.prompt_lookup_max is not None:
        found["prompt_lookup_max"] = of.prompt_lookup_max
    if of.draft_model_config is not None:
        found["max_model_len"] = int(of.draft_model_config.max_tokens)
    return found


def files(of: Chain, name: str) -> dict[str, str]:
    """The ConfigMap ``name`` of an InferenceService: nothing where it says nothing of engines."""
    if of.cache is None and of.speculation is None and of.disaggregation is None:
        return {}
    found: dict[str, str] = {}
    parts = ("prefill", "decode") if of.disaggregation is not None else ("",)
    for part in parts:
        end = f"-{part}" if part else ""
        engine = of.disaggregation.engine if of.disaggregation is not None else "vllm"
        said = _sglang(of, part) if engine == "sglang" else _vllm(of, part)
        found[f"{engine}{end}.yaml"] = _text(said)
        found[f"patch{end}.yaml"] = _text(_patch(of, name, part, engine))
    if of.cache is not None and of.cache.cache_type != "attention":
        found["lmcache.yaml"] = _text(_lmcache(of.cache))
    return found


def _vllm(of: Chain, part: str) -> dict[str, Any]:
    """vLLM's ``--config``: its long arguments as keys."""
    found: dict[str, Any] = {"model": of.spec.model_name}
    if of.cache is not None:
        found["enable-prefix-caching"] = True
        found["tensor-parallel-size"] = of.cache.tensor_parallel_size
    if of.disaggregation is not None:
        found |= {k: _typed(v) for k, v in sorted(of.disaggregation.engine_config.items())}
    if of.speculation is not None:
        found["speculative-config"] = _compact(speculative_config(of.speculation))
    transfer = _transfer(of, part)
    if transfer:
        found["kv-transfer-config"] = _compact(transfer)
    return found


def _sglang(of: Chain, part: str) -> dict[str, Any]:
    found: dict[str, Any] = {"model-path": of.spec.model_name, "disaggregation-mode": part}
    if of.disaggregation is not None:
        found |= {k: _typed(v) for k, v in sorted(of.disaggregation.engine_config.items())}
    return found


def _transfer(of: Chain, part: str) -> dict[str, Any]:
    """vLLM's ``--kv-transfer-config``: LMCache, a connector between engines, or both."""
    role = _ROLES.get(part, "kv_both")
    cache = of.cache
    apart = cache.disaggregated_prefill_config if cache is not None else None
    if apart is not None and not apart.enabled:
        apart = None
    connectors: list[dict[str, Any]] = []
    if part or apart is not None:
        connectors.append(_connector(apart, role if part or apart is None else _own(apart)))
    if cache is not None and cache.cache_type != "attention":
        connectors.append({"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"})
    if len(connectors) < 2:
        return connectors[0] if connectors else {}
    extra = {"connectors": connectors}
    return {
        "kv_connector": "MultiConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": extra,
    }


def _own(apart: DisaggregatedPrefill) -> str:
    return _ROLES[apart.prefill_instance_type]


def _connector(apart: DisaggregatedPrefill | None, role: str) -> dict[str, Any]:
    found: dict[str, Any] = {"kv_connector": "NixlConnector", "kv_role": role}
    if apart is None:
        return found
    extra = dict(apart.connector_config)
    if apart.connector_type == "redis":  # LMCache carries caches through its remote store
        found["kv_connector"] = "LMCacheConnectorV1"
        extra.pop("url", None)
    elif apart.connector_type == "custom":
        found["kv_connector"] = extra.pop("kv_connector", "")
    if apart.lookup_buffer_config is not None:
        found["kv_buffer_size"] = apart.lookup_buffer_config.max_size
    if extra:
        found["kv_connector_extra_config"] = extra
    return found


def _lmcache(of: InferenceCacheSpec) -> dict[str, Any]:
    """LMCache's ``LMCACHE_CONFIG_FILE``; sizes in GB, as there."""
    found: dict[str, Any] = {"chunk_size": 256, "local_cpu": True}
    if of.cache_size is not None:
        found["max_local_cpu_size"] = round(of.cache_size / 1e9, 3)
    apart = of.disaggregated_prefill_config
    if apart is not None and apart.lookup_buffer_config is not None:
        found["cache_policy"] = apart.lookup_buffer_config.eviction_policy.upper()
    if apart is not None and apart.enabled and apart.connector_type == "redis":
        found["remote_url"] = apart.connector_config.get("url", "")
        found["remote_serde"] = "naive"
    return found


def _patch(of: Chain, name: str, part: str, engine: str) -> dict[str, Any]:
    """For ``kubectl patch deployment``: what a pod needs to have these files, and the rest."""
    end = f"-{part}" if part else ""
    container: dict[str, Any] = {
        "name": engine,
        "args": [f"--config={AT}/{engine}{end}.yaml"],
        "volumeMounts": [{"name": "wayside-engine", "mountPath": AT, "readOnly": True}],
    }
    pod: dict[str, Any] = {
        "containers": [container],
        "volumes": [{"name": "wayside-engine", "configMap": {"name": name}}],
    }
    if of.cache is not None:
        if of.cache.cache_type != "attention":
            file = {"name": "LMCACHE_CONFIG_FILE", "value": f"{AT}/lmcache.yaml"}
            container["env"] = [file]
        if of.cache.image:
            container["image"] = of.cache.image
        if of.cache.resources:
            container["resources"] = of.cache.resources
    metadata: dict[str, Any] = {}
    if of.disaggregation is not None:
        metadata = {"metadata": {"labels": {ROLE_LABEL: part}}}
        if resources := _resources(of.disaggregation, part):
            container["resources"] = resources
        if wanted := of.disaggregation.topology_hint.node_selector:
            pod["nodeSelector"] = dict(wanted)
    return {"spec": {"template": {**metadata, "spec": pod}}}


def _resources(of: PrefillDecodingSpec, part: str) -> dict[str, Any]:
    return of.prefill_resources if part == "prefill" else of.decode_resources


def _typed(value: str) -> Any:
    if value in ("true", "false"):
        return value == "true"
    return int(value) if value.isascii() and value.isdecimal() else value


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _text(value: dict[str, Any]) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, width=1000))
