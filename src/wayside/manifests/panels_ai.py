"""The dashboard of whoever decides which model answers what."""

from __future__ import annotations

from typing import Final

from wayside.manifests.panels import (
    MINE,
    NUMBER,
    ONE,
    PER_SECOND,
    PERCENT,
    SECONDS,
    Panel,
    Query,
    Row,
    figure,
    quantile,
    rate,
    ratio,
)

HITS: Final = rate("wayside_cache_hits_total", where=MINE)
LOOKUPS: Final = f"{HITS} + {rate('wayside_cache_misses_total', where=MINE)}"
TOKENS: Final = "wayside_tokens_total"
PER_HOUR: Final = "3600 * "
TOKENS_PER_SECOND: Final = "suffix: tokens/s"

NOW: Final = Row(
    "Now",
    (
        figure("Tokens", "Tokens of served answers each second.", TOKENS_PER_SECOND, rate(TOKENS)),
        figure(
            "Cost",
            "What served answers cost in an hour at this pace, in their own currencies.",
            "suffix: per hour",
            PER_HOUR + rate("wayside_cost_total"),
        ),
        figure(
            "From the cache",
            "The share of looks into the response cache that found an answer.",
            PERCENT,
            ratio(HITS, LOOKUPS),
            most=1,
        ),
        figure(
            "Decided",
            "The share of requests that a decision was made for; the others named their model.",
            PERCENT,
            ratio(
                rate("wayside_requests_total", where=f'{ONE}, decision!=""'),
                rate("wayside_requests_total"),
            ),
        ),
        figure(
            "First byte, p50",
            "Half of all answers begin within this time.",
            SECONDS,
            quantile(0.5, "wayside_time_to_first_byte_seconds"),
            thresholds=(1, 3),
        ),
        figure(
            "Signals nobody could read",
            "Each second: an engine was away, or too slow.",
            PER_SECOND,
            rate("wayside_signals_unknown_total", where=MINE),
            thresholds=(0.01,),
        ),
    ),
)
DECISIONS: Final = Row(
    "Where prompts go, and why",
    (
        Panel(
            "Decisions",
            "Requests by the decision that they led to; empty where the client named a model.",
            PER_SECOND,
            (Query(rate("wayside_requests_total", "decision"), "{{decision}}"),),
            stacked=True,
        ),
        Panel(
            "Models by decision",
            "Which model each decision's requests went to.",
            PER_SECOND,
            (Query(rate("wayside_requests_total", "decision", "model",
                        where=f'{ONE}, decision!=""'), "{{decision}} → {{model}}"),),
        ),
        Panel(
            "Signals that matched",
            "How often each signal was seen in a prompt.",
            PER_SECOND,
            (Query(rate("wayside_signal_matches_total", "kind", "name", where=MINE),
                   "{{kind}}:{{name}}"),),
        ),
        Panel(
            "Signals that nobody could read",
            "Each decision says by on_unknown what they mean.",
            PER_SECOND,
            (Query(rate("wayside_signals_unknown_total", "kind", "name", where=MINE),
                   "{{kind}}:{{name}}"),),
        ),
        Panel(
            "Stand-ins",
            "Requests that another model answered than the one that was chosen.",
            PER_SECOND,
            (Query(rate("wayside_fallbacks_total", "from", "to", "reason", where=MINE),
                   "{{from}} → {{to}} ({{reason}})"),),
        ),
        Panel(
            "Answers in a model's place",
            "Fixed answers that a decision gives, as for what is not allowed.",
            PER_SECOND,
            (Query(rate("wayside_fast_responses_total", "decision", where=MINE), "{{decision}}"),),
        ),
    ),
)  # fmt: skip
MONEY: Final = Row(
    "Tokens and money",
    (
        Panel(
            "Tokens by model",
            "Of answers that were served.",
            TOKENS_PER_SECOND,
            (Query(rate(TOKENS, "model"), "{{model}}"),),
            width=8,
            stacked=True,
        ),
        Panel(
            "Tokens by type",
            "Input, output, and what of the input was cached.",
            TOKENS_PER_SECOND,
            (Query(rate(TOKENS, "type"), "{{type}}"),),
            width=8,
            stacked=True,
        ),
        Panel(
            "Cost by model",
            "What served answers cost in an hour at this pace.",
            "suffix: per hour",
            (Query(PER_HOUR + rate("wayside_cost_total", "model", "currency"),
                   "{{model}} {{currency}}"),),
            width=8,
            stacked=True,
        ),
        Panel(
            "Saved by the cache",
            "Tokens of answers that no model was asked for again.",
            TOKENS_PER_SECOND,
            (Query(rate("wayside_cache_saved_tokens_total", "model"), "{{model}}"),),
            width=8,
        ),
        Panel(
            "Taken for nothing",
            "Prompt tokens, about, of attempts whose answer nobody got: hedges that lost, servers "
            "that broke off.",
            TOKENS_PER_SECOND,
            (Query(rate("wayside_unserved_tokens_total", "model", "outcome"),
                   "{{model}} {{outcome}}"),),
            width=8,
        ),
        Panel(
            "Estimated usage",
            "Answers whose server did not say what they took.",
            PER_SECOND,
            (Query(rate("wayside_usage_estimated_total", "model", "why"), "{{model}} {{why}}"),),
            width=8,
        ),
    ),
)  # fmt: skip
SPEED: Final = Row(
    "As users see it",
    (
        Panel(
            "First byte by model, p95",
            "Nineteen of twenty answers begin within this time.",
            SECONDS,
            (Query(quantile(0.95, "wayside_time_to_first_byte_seconds", "model"), "{{model}}"),),
            width=8,
            thresholds=(5,),
        ),
        Panel(
            "Time per token by model, p95",
            "Of streamed answers, after the first token.",
            SECONDS,
            (Query(quantile(0.95, "wayside_time_per_output_token_seconds", "model"),
                   "{{model}}"),),
            width=8,
            thresholds=(0.25,),
        ),
        Panel(
            "Whole answers by model, p95",
            "From the request to the answer's last byte.",
            SECONDS,
            (Query(quantile(0.95, "wayside_request_duration_seconds", "model"), "{{model}}"),),
            width=8,
        ),
    ),
)  # fmt: skip
CACHES: Final = Row(
    "Caches",
    (
        Panel(
            "Hit rate by decision",
            "The share of looks into the response cache that found an answer.",
            PERCENT,
            (Query(
                f"{rate('wayside_cache_hits_total', 'decision', where=MINE)} / "
                f"({rate('wayside_cache_hits_total', 'decision', where=MINE)} + "
                f"{rate('wayside_cache_misses_total', 'decision', where=MINE)})",
                "{{decision}}"),),
            width=8,
            most=1,
        ),
        Panel(
            "Answers kept",
            "In the routers' processes.",
            NUMBER,
            (Query(f"sum by (store) (wayside_cache_entries{{{MINE}}})", "{{store}}"),),
            width=8,
        ),
        Panel(
            "Prompts that a server has cached",
            "The share of prompts' tokens that the picked server is thought to have in its KV "
            "cache.",
            PERCENT,
            (Query(f"{rate('wayside_pick_cached_tokens_total', 'model')} / "
                   f"{rate('wayside_pick_prompt_tokens_total', 'model')}", "{{model}}"),),
            width=8,
            most=1,
        ),
    ),
)  # fmt: skip
ROWS: Final = (NOW, DECISIONS, MONEY, SPEED, CACHES)
