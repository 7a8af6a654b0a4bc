"""`wayside sim`: the command line of the simulator."""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
import uvloop
import yaml
from click.core import ParameterSource
from pydantic import TypeAdapter, ValidationError

from .serve import Sim, run
from .settings import FaultRates, SimModel, SimServer, SimSettings, TlsFiles, parse_settings

_MODEL: TypeAdapter[SimModel] = TypeAdapter(SimModel)
_FAULTS: TypeAdapter[FaultRates] = TypeAdapter(FaultRates)

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
Ask one:
  curl localhost:9001/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model": "small", "messages": [{"role": "user", "content": "Hello"}]}'

\b
Break one answer, then see what was received and what became of it:
  curl -H 'x-sim-fault: status=503' ...    (also reset, close, stall=2, slow=10, reset-after=3)
  curl localhost:9001/_sim/requests
  curl localhost:9001/_sim/stats
"""


@click.command("sim", help=_HELP)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME[,KEY=VALUE...]",
    help="Serve this model; repeat for more. KEYs are model settings: ttft_s, itl_s, "
    "max_running, max_waiting, max_model_len, answer_tokens, answer, aliases (a+b), ...",
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
        settings = _read(config) if config else SimSettings(tuple(_servers(**options)))
    except ValidationError as error:
        raise click.ClickException(_explain(error)) from error

    def started(sims: list[Sim]) -> None:
        for line in describe(sims, as_json=as_json):
            click.echo(line)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signalled(run(settings, started=started)))
    except OSError as error:
        raise click.ClickException(f"{error}; choose another --port or --host") from error


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


def _servers(
    *,
    models: tuple[str, ...],
    replicas: int,
    host: str,
    port: int,
    unix: Path | None,
    provider: str | None,
    key_variables: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    ttft: float,
    itl: float,
    max_running: int,
    answer_tokens: int,
    faults: tuple[str, ...],
    seed: int,
    keep: int,
) -> list[SimServer]:
    if not models:
        raise click.UsageError("name at least one --model, or give a --config")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    defaults = {
        "ttft_s": ttft,
        "itl_s": itl,
        "max_running": max_running,
        "answer_tokens": answer_tokens,
    }
    parsed = tuple(_model(text, defaults) for text in models)
    together = [parsed] if provider else [(model,) for model in parsed]
    plain: dict[str, Any] = {
        "host": host,
        "provider": provider,
        "tls": TlsFiles(tls_cert, tls_key) if tls_cert and tls_key else None,
        "api_keys": tuple(_key(variable) for variable in key_variables),
        "faults": _faults(faults, seed),
        "keep": keep,
    }
    servers: list[SimServer] = []
    for group in together:
        for replica in range(replicas):
            place: dict[str, Any] = {"port": port + len(servers) if port else 0}
            if unix is not None:
                name = provider or group[0].name.replace("/", "_")
                place = {"unix": unix / f"{name}-{replica}.sock"}
            shifted = dataclasses.replace(plain["faults"], seed=seed + len(servers))
            servers.append(SimServer(group, replica, **{**plain, "faults": shifted}, **place))
    return servers


def _model(text: str, defaults: dict[str, Any]) -> SimModel:
    name, settings = _split(text, "--model")
    if isinstance(aliases := settings.get("aliases"), str):
        settings["aliases"] = aliases.split("+")
    return _MODEL.validate_python({**defaults, **settings, "name": name})


def _faults(texts: tuple[str, ...], seed: int) -> FaultRates:
    faults: dict[str, Any] = {"seed": seed}
    for text in texts:
        head, settings = _split(text, "--fault")
        kind, _, rate = head.partition("=")
        faults[kind] = {"rate": rate, **settings}
    return _FAULTS.validate_python(faults)


def _split(text: str, option: str) -> tuple[str, dict[str, Any]]:
    """`head,key=value,...` taken apart; dashes in keys are underscores."""
    head, *rest = text.split(",")
    pairs = [part.partition("=") for part in rest]
    if not head or not all(equals for _, equals, _ in pairs):
        raise click.UsageError(f"cannot read {option} {text!r}; write NAME,KEY=VALUE,...")
    return head, {key.strip().replace("-", "_"): value for key, _, value in pairs}


def _key(variable: str) -> str:
    key = os.environ.get(variable)
    if not key:
        raise click.UsageError(f"--api-key-env: ${variable} is not set")
    return key


def _read(path: Path) -> SimSettings:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise click.ClickException(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise click.ClickException(f"{path}: expected `servers:` at the top")
    return parse_settings(document)


def _explain(error: ValidationError) -> str:
    return "\n".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors()
    )


command = sim
