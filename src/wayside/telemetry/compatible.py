"""Our numbers under the names that others' dashboards ask for.

Names of vLLM Semantic Router's metrics, where we count the same thing, and of OpenTelemetry's
conventions for generative AI, as its exporter spells them for Prometheus. None is counted twice:
they are made of ours when somebody looks.
"""

from __future__ import annotations

from typing import Final

from wayside.telemetry.metrics import Metrics

READ: Final = ("prompt", "cached", "cache_write")
WRITTEN: Final = ("completion", "reasoning")
"""Types of tokens, as they are counted: of what was read, and of what was written."""

NOT_GIVEN: Final = {
    "llm_signal_extraction_total, llm_signal_extraction_latency_seconds": (
        "a signal is read with others in one question; wayside_routing_seconds is what all took"
    ),
    "llm_decision_evaluation_total, llm_decision_confidence": (
        "every request's decision is in its log line and its trace, with its confidence"
    ),
    "llm_plugin_execution_*": "guards count as errors, by reason",
    "llm_model_selection_*, llm_model_elo_rating and other inner states of algorithms": (
        "the algorithm's own words are in the log line (why)"
    ),
    "*_windowed_*": "Prometheus makes windows of the counters and histograms: rate(...[5m])",
    "llm_memory_* with user_id": "no label tells who asked",
    "llm_session_*": "a conversation's figures are in the log lines of its requests",
}
"""Names of vLLM Semantic Router's that are not shown, and where the answer is instead."""


def copy(m: Metrics) -> None:
    """Show them, of a registry that has ours."""
    model = {"model": "model"}
    m.copy("wayside_requests_total", "llm_model_requests_total", model)
    m.copy(
        "wayside_request_errors_total",
        "llm_request_errors_total",
        {"model": "model", "reason": "reason"},
    )
    m.copy("wayside_requests_total", "llm_decision_match_total", {"decision": "decision_name"})
    for ours, theirs in (("hits", "hits"), ("misses", "misses")):
        m.copy(
            f"wayside_cache_{ours}_total",
            f"llm_cache_plugin_{theirs}_total",
            {"decision": "decision_name"},
        )
    m.copy(
        "wayside_signal_matches_total",
        "llm_signal_match_total",
        {"kind": "signal_type", "name": "signal_name"},
    )
    m.copy("wayside_tokens_total", "llm_model_tokens_total", model)
    m.copy("wayside_tokens_total", "llm_model_prompt_tokens_total", model, only={"type": READ})
    m.copy(
        "wayside_tokens_total", "llm_model_completion_tokens_total", model, only={"type": WRITTEN}
    )
    m.copy(
        "wayside_answer_tokens",
        "llm_prompt_tokens_per_request",
        model,
        only={"type": ("input",)},
    )
    m.copy(
        "wayside_answer_tokens",
        "llm_completion_tokens_per_request",
        model,
        only={"type": ("output",)},
    )
    m.copy("wayside_cost_total", "llm_model_cost_total", {**model, "currency": "currency"})
    m.copy("wayside_time_to_first_byte_seconds", "llm_model_ttft_seconds", model)
    m.copy("wayside_request_duration_seconds", "llm_model_completion_latency_seconds", model)
    m.copy("wayside_time_per_output_token_seconds", "llm_model_tpot_seconds", model)
    m.copy("wayside_routing_seconds", "llm_model_routing_latency_seconds", {}, empty=True)
    answered = {"model": "gen_ai_response_model"}
    m.copy(
        "wayside_answer_tokens",
        "gen_ai_client_token_usage",
        {**answered, "type": "gen_ai_token_type"},
    )
    for ours, theirs in (
        ("wayside_request_duration_seconds", "gen_ai_client_operation_duration_seconds"),
        ("wayside_request_duration_seconds", "gen_ai_server_request_duration_seconds"),
        ("wayside_time_to_first_byte_seconds", "gen_ai_server_time_to_first_token_seconds"),
        ("wayside_time_per_output_token_seconds", "gen_ai_server_time_per_output_token_seconds"),
    ):
        m.copy(ours, theirs, answered)
