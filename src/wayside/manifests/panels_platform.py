"""The dashboard of whoever keeps the platform running."""

from __future__ import annotations

from typing import Final

from wayside.manifests.panels import (
    BYTES,
    MINE,
    NUMBER,
    ONE,
    OVER,
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
    spread,
)

REQUESTS: Final = "wayside_requests_total"
ERRORS: Final = f'{ONE}, status=~"5.."'

NOW: Final = Row(
    "Now",
    (
        figure("Requests", "Requests answered each second.", PER_SECOND, rate(REQUESTS)),
        figure(
            "Server errors",
            "The share of requests answered with a status of 500 or more.",
            PERCENT,
            ratio(rate(REQUESTS, where=ERRORS), rate(REQUESTS)),
            thresholds=(0.01, 0.05),
        ),
        figure(
            "First byte, p95",
            "Nineteen of twenty answers begin within this time.",
            SECONDS,
            quantile(0.95, "wayside_time_to_first_byte_seconds"),
            thresholds=(2, 5),
        ),
        figure(
            "In flight",
            "Requests under way.",
            NUMBER,
            f"sum(wayside_requests_in_flight{{{MINE}}})",
        ),
        figure(
            "Servers that take no requests",
            "Servers that are left out of rotation, or sleep.",
            NUMBER,
            f"count(wayside_endpoint_healthy{{{ONE}}} == 0) or vector(0)",
            thresholds=(1,),
        ),
        figure(
            "Configuration",
            "Whether every router has the newest version of its configuration in force.",
            NUMBER,
            f"min(wayside_config_last_reload_successful{{{MINE}}})",
            thresholds=(1,),
            low_is_bad=True,
            names=((0, "refused"), (1, "in force")),
        ),
    ),
)
TRAFFIC: Final = Row(
    "Traffic",
    (
        Panel(
            "Requests by model",
            "Who answers how many requests; empty where no model was asked.",
            PER_SECOND,
            (Query(rate(REQUESTS, "model"), "{{model}}"),),
            stacked=True,
        ),
        Panel(
            "Requests by status",
            "What clients were answered.",
            PER_SECOND,
            (Query(rate(REQUESTS, "status"), "{{status}}"),),
            stacked=True,
        ),
        Panel(
            "Errors by reason",
            "Requests that did not succeed, and why: a client that left, a server that failed.",
            PER_SECOND,
            (Query(rate("wayside_request_errors_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "Refused for want of room",
            "Requests answered 429 as too many were under way or waiting.",
            PER_SECOND,
            (Query(rate("wayside_shed_total", "model", "reason"), "{{model}} {{reason}}"),),
        ),
        Panel(
            "Waiting for a model",
            "Requests that wait until a server has room.",
            NUMBER,
            (Query(f"sum by (model) (wayside_queue_length{{{ONE}}})", "{{model}}"),),
        ),
        Panel(
            "Requests by shell",
            "How requests come: over HTTP (gateway), or asked about by Envoy (extproc).",
            PER_SECOND,
            (Query(rate(REQUESTS, "shell"), "{{shell}}"),),
            stacked=True,
        ),
    ),
)
LATENCY: Final = Row(
    "Latency",
    (
        Panel(
            "Whole answers",
            "From the request's last byte to the answer's.",
            SECONDS,
            spread("wayside_request_duration_seconds"),
            width=8,
            thresholds=(30,),
        ),
        Panel(
            "First byte",
            "From the request's last byte to the answer's first.",
            SECONDS,
            spread("wayside_time_to_first_byte_seconds"),
            width=8,
            thresholds=(5,),
        ),
        Panel(
            "Routing",
            "What reading the prompt, deciding and choosing took.",
            SECONDS,
            spread("wayside_routing_seconds", MINE),
            width=8,
            thresholds=(0.1,),
        ),
    ),
)
SERVERS: Final = Row(
    "Models' servers",
    (
        Panel(
            "In rotation",
            "1 while a server takes requests.",
            NUMBER,
            (Query(f"min by (model, endpoint) (wayside_endpoint_healthy{{{ONE}}})",
                   "{{model}} {{endpoint}}"),),
            width=8,
            most=1,
        ),
        Panel(
            "Requests to each server",
            "Attempts under way, as the router counts them.",
            NUMBER,
            (Query(f"sum by (model, endpoint) (wayside_upstream_in_flight{{{ONE}}})",
                   "{{model}} {{endpoint}}"),),
            width=8,
        ),
        Panel(
            "Waiting at each server",
            "Requests that wait there, as the server says.",
            NUMBER,
            (Query(f"max by (model, endpoint) (wayside_endpoint_waiting{{{ONE}}})",
                   "{{model}} {{endpoint}}"),),
            width=8,
        ),
        Panel(
            "KV cache in use",
            "Where it is full, requests wait or are begun anew.",
            PERCENT,
            (Query(f"max by (model, endpoint) (wayside_endpoint_kv_usage{{{ONE}}})",
                   "{{model}} {{endpoint}}"),),
            width=8,
            thresholds=(0.9,),
            most=1,
        ),
        Panel(
            "GPU utilisation",
            "As an exporter says of each server's GPUs.",
            PERCENT,
            (Query(f"max by (model, endpoint) (wayside_endpoint_gpu_utilization{{{ONE}}})",
                   "{{model}} {{endpoint}}"),),
            width=8,
            most=1,
        ),
        Panel(
            "Attempts by outcome",
            "What became of each attempt to get an answer from a server.",
            PER_SECOND,
            (Query(rate("wayside_upstream_attempts_total", "outcome"), "{{outcome}}"),),
            width=8,
            stacked=True,
        ),
        Panel(
            "Retries, hedges and stand-ins",
            "Attempts after a failure, second attempts beside a slow one, other models asked.",
            PER_SECOND,
            (
                Query(rate("wayside_retries_total", "model"), "retry {{model}}"),
                Query(rate("wayside_hedges_total", "model", "outcome"),
                      "hedge {{model}} {{outcome}}"),
                Query(rate("wayside_fallbacks_total", "from", "to", where=MINE),
                      "{{from}} → {{to}}"),
            ),
        ),
        Panel(
            "Servers that do not say how they are",
            "Questions for metrics or models that were not answered as they should be.",
            PER_SECOND,
            (Query(rate("wayside_scrape_errors_total", "source", "reason", where=MINE),
                   "{{source}} {{reason}}"),),
        ),
    ),
)  # fmt: skip
ITSELF: Final = Row(
    "The router itself",
    (
        Panel(
            "Configurations",
            "New configurations in force, and those that were refused, since the routers began.",
            NUMBER,
            (
                Query(f"max(wayside_config_generation{{{MINE}}})", "in force"),
                Query(f"max(wayside_config_refused{{{MINE}}})", "refused"),
            ),
            width=8,
        ),
        Panel(
            "Stores",
            "1 while a store is away, or keeps nothing of what it is given.",
            NUMBER,
            (Query(f"max by (store) (wayside_store_degraded{{{MINE}}})", "{{store}}"),),
            width=8,
            thresholds=(1,),
            most=1,
        ),
        Panel(
            "Memory of stores",
            "What each store takes in the routers' processes.",
            BYTES,
            (Query(f"sum by (store) (wayside_store_bytes{{{MINE}}})", "{{store}}"),),
            width=8,
        ),
        Panel(
            "Model calls from inside requests",
            "What algorithms that ask models themselves were answered.",
            PER_SECOND,
            (Query(rate("wayside_calls_total", "model", "outcome"), "{{model}} {{outcome}}"),),
        ),
        Panel(
            "Bugs in strategies",
            "Choices of a server that failed, so that another way of choosing took their place.",
            PER_SECOND,
            (Query(f"sum by (model) (rate(wayside_pick_faults_total{{{ONE}}}{OVER}))",
                   "{{model}}"),),
        ),
    ),
)  # fmt: skip
ROWS: Final = (NOW, TRAFFIC, LATENCY, SERVERS, ITSELF)
