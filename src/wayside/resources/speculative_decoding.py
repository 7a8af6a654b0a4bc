"""SpeculativeDecoding: which small model, or what else, proposes tokens for a model."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from wayside.manifests.production_stack import (
    INFERENCE_CACHES,
    INFERENCE_SERVICES,
    SPECULATIVE_DECODINGS,
    Finding,
    PlainStatus,
    accepted,
    in_use,
    read,
    ready,
)
from wayside.manifests.production_stack_chain import users
from wayside.manifests.production_stack_engine import speculative_config
from wayside.manifests.production_stack_specs import SPECULATIVE_RULES, SpeculativeDecodingSpec
from wayside.resources import (
    AGE,
    NOW,
    Column,
    Condition,
    Desired,
    Keeper,
    Object,
    World,
    resource,
)


class SpeculativeDecodingStatus(PlainStatus):
    """How a SpeculativeDecoding fares."""

    speculative_config: Annotated[str, Field(max_length=4096)] | None = None
    """What to give vLLM as `--speculative-config`: JSON."""


@resource(
    "SpeculativeDecoding",
    resource=SPECULATIVE_DECODINGS,
    program="router-controller",
    spec=SpeculativeDecodingSpec,
    status=SpeculativeDecodingStatus,
    columns=(
        Column("Type", ".spec.speculationType"),
        Column("Draft Model", ".spec.draftModel"),
        Column("Tokens", ".spec.numSpeculativeTokens", "integer"),
        Column("Status", '.status.conditions[?(@.type=="Ready")].status'),
        AGE,
    ),
    rules=SPECULATIVE_RULES,
    reads=(INFERENCE_SERVICES, INFERENCE_CACHES),
)
class SpeculativeDecodingKeeper(Keeper):
    """Which small model, or what else, proposes tokens for a model."""

    def desired(self, found: Object, world: World) -> Desired:
        spec, problem = read(SpeculativeDecodingSpec, found)
        wrong = accepted(problem)
        by = [
            *users(INFERENCE_SERVICES, "speculativeDecodingRef", "InferenceService", found, world),
            *users(INFERENCE_CACHES, "sdRef", "InferenceCache", found, world),
        ]
        used = in_use(by, "speculativeDecodingRef of an InferenceService or sdRef of a cache")
        rendered = (
            json.dumps(speculative_config(spec), separators=(",", ":"))
            if spec is not None
            else None
        )
        findings: list[Finding] = [wrong, used, ready([wrong])]
        return Desired(
            conditions=[Condition(*f) for f in findings],
            status={"speculativeConfig": rendered, "lastUpdated": NOW},
        )
