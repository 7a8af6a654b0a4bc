"""`wayside sim`: the command line of the simulator."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
import uvloop
from click.core import ParameterSource
from pydantic import ValidationError

from .options import explain, placed, read_config, read_options
from .serve import Sim, run

_HELP = """Serve simulated models: the OpenAI API, vLLM's metrics, no GPU.

Every replica of every model gets an address of its own and behaves like a vLLM server: answers
take time, only --max-running of them are made at once, the rest queue, and /metrics shows it.
With --provider, each replica is one cloud endpoint that serves all the models and wants an API
key. The answers are made up, but always the same for the same prompt, and say who gave them.

\b
Examples:
  # Two models, two replicas each, on ports 9001 to 9004
  wayside sim --model small --model large --replicas 2 --port 9001

\b
  # A small fast one and a large slow one that queues early
  wayside sim --model small,ttft_s=0.05 --model large,ttft_s=0.4,max_running=4

\b
  # A cloud provider on port 9100; only the key in $SIM_KEY is accepted
  wayside sim --provider openai --model gpt-4o-mini --port 9100 --api-key-env SIM_KEY

\b
  # One answer in ten is a 503, one in a hundred is cut off after three chunks
  wayside sim --model small --fault status=0.1,code=503 --fault reset=0.01,after=3

\b
  # A fleet for endpoint picking: KV caches of 2048 blocks, told on ports 5557 to 5564,
  # two adapters on each server, and one page with the GPUs of all eight
  wayside sim --model small,kv_blocks=2048,loras=sql+chat,max_loras=2 --replicas 8 \\
    --prefill 0.0001 --kv-events 'tcp://127.0.0.1:5557' --gpu-exporter-port 9400

\b
  # One server that reads prompts for another, which fetches what was read
  wayside sim --model big --role prefill --port 9001
  wayside sim --model big --role decode --sidecar --port 9002
  curl -H 'x-prefiller-host-port: 127.0.0.1:9001' localhost:9002/v1/chat/completions ...

\b
Ask one:
  curl localhost:9001/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model": "small", "messages": [{"role": "user", "content": "Hello"}]}'

\b
Break one answer, then see what was received and what became of it:
  curl -H 'x-sim-fault: status=503' ...    (also reset, close, stall=2, slow=10, reset-after=3)
  curl localhost:9001/_sim/requests
  curl localhost:9001/_sim/stats

\b
Slow one down, freeze one, and crash one for five seconds, while it runs:
  curl -X PUT localhost:9001/_sim/pace -d '{"factor": 4}'
  curl -X PUT localhost:9002/_sim/life -d '{"state": "hung"}'     (then "up")
  curl -X PUT localhost:9003/_sim/life -d '{"state": "down", "for_s": 5}'
"""


@click.command("sim", help=_HELP)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME[,KEY=VALUE...]",
    help="Serve this model; repeat for more. KEYs are model settings: ttft_s, itl_s, "
    "max_running, max_waiting, max_model_len, answer_tokens, answer, kv_blocks, aliases (a+b), "
    "loras (a+b), max_loras, ...",
)
@click.option("--replicas", default=1, show_default=True, type=click.IntRange(1, 1000))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=9001,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="First port; each further replica takes the next one. 0 takes any free ports.",
)
@click.option(
    "--unix",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIRECTORY",
    help="Listen on Unix sockets in this directory (small-0.sock, ...) instead of ports.",
)
@click.option(
    "--provider",
    type=click.Choice(["openai"]),
    help="Behave like this cloud provider instead of like vLLM.",
)
@click.option(
    "--api-key-env",
    "key_variables",
    multiple=True,
    metavar="VARIABLE",
    help="Accept the API key in this environment variable; repeat for more. "
    "Without it a provider accepts any key, and vLLM asks for none.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path, exists=True), help="PEM chain.")
@click.option("--tls-key", type=click.Path(path_type=Path, exists=True), help="PEM private key.")
@click.option(
    "--ttft",
    default=0.08,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds to the first token. The defaults are those of an 8B model on one H100.",
)
@click.option(
    "--itl",
    default=0.012,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds between tokens.",
)
@click.option(
    "--prefill",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds that each prompt token adds to the first, unless it is in the cache.",
)
@click.option(
    "--max-running",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    help="Answers one replica makes at the same time; the rest wait.",
)
@click.option(
    "--answer-tokens",
    default=40,
    show_default=True,
    type=click.IntRange(1),
    help="Tokens in an answer, unless max_tokens is less.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND=RATE[,KEY=VALUE...]",
    help="Strike this share of requests: status (code, retry_after_s), reset (after), "
    "close (after), stall (seconds, after), slow (factor).",
)
@click.option("--seed", default=0, show_default=True, help="Of the dice that pick the faults.")
@click.option(
    "--keep",
    default=100,
    show_default=True,
    type=click.IntRange(0),
    help="Requests each replica remembers for /_sim/requests.",
)
@click.option(
    "--role",
    default="both",
    show_default=True,
    type=click.Choice(["both", "prefill", "decode"]),
    help="Read prompts for others, go on from prompts that others read, or both.",
)
@click.option(
    "--sidecar",
    is_flag=True,
    help="Have prompts read by the server that x-prefiller-host-port names.",
)
@click.option(
    "--kv-events",
    "kv_events",
    metavar="ENDPOINT",
    help="Tell over ZeroMQ what the KV cache holds: tcp://*:5557. Each further server takes the "
    "next port.",
)
@click.option(
    "--kv-events-connect",
    "kv_events_connect",
    metavar="ENDPOINT",
    help="The same, to a subscriber that listens there; all servers connect to it.",
)
@click.option(
    "--hash-seed",
    default="42",
    show_default=True,
    help="Of the blocks' hashes in KV events; what PYTHONHASHSEED is for vLLM.",
)
@click.option(
    "--metrics",
    default="vllm",
    show_default=True,
    type=click.Choice(["vllm", "vllm_v0", "sglang", "trtllm"]),
    help="In whose names /metrics speaks.",
)
@click.option(
    "--gpu-exporter-port",
    type=click.IntRange(0, 65535),
    help="Serve one page with the GPUs of all servers there, like the DCGM exporter.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A YAML file with everything (servers: [...]); see docs/reference/simulator.md. "
    "Only --json goes with it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as JSON lines.")
@click.pass_context
def sim(context: click.Context, /, config: Path | None, as_json: bool, **options: Any) -> None:
    if config and (given := _given(context, but=("config", "as_json"))):
        raise click.UsageError(
            f"--config says everything; leave out {', '.join(given)}, or put it into {config}"
        )
    try:
        settings = read_config(config) if config else read_options(**options)
    except ValidationError as error:
        raise click.ClickException(explain(error)) from error
    settings = placed(settings, os.environ)

    def started(sims: list[Sim]) -> None:
        for line in describe(sims, as_json=as_json):
            click.echo(line)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signalled(run(settings, started=started)))
    except OSError as error:
        raise click.ClickException(f"{error}; choose another --port or --host") from error
    except RuntimeError as error:  # pyzmq is missing
        raise click.ClickException(str(error)) from error


def _given(context: click.Context, *, but: tuple[str, ...]) -> list[str]:
    """The options on the command line, as they are written there."""
    return [
        option.opts[0]
        for option in context.command.params
        if option.name not in but
        and context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    ]


def describe(sims: list[Sim], *, as_json: bool) -> list[str]:
    """One line for each model on each address, as a table or as JSON."""
    rows = [
        (model.name, sim.settings.replica, sim.url, sim.settings.provider or "vllm")
        for sim in sims
        for model in sim.settings.models
    ]
    if as_json:
        keys = ("model", "replica", "url", "behaves_like")
        return [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
    width = max(len(name) for name, *_ in rows)
    lines = [
        f"{name:<{width}}  replica {replica}  {url}{'' if url.startswith('unix:') else '/v1'}"
        for name, replica, url, _ in rows
    ]
    return [*lines, "Ready. Stop with ctrl-c."]


async def _until_signalled(serving: Coroutine[None, None, None]) -> None:
    task = asyncio.ensure_future(serving)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


command = sim
