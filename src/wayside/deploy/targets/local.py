"""On this machine: simulators and a router, as processes that go on by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from wayside.deploy import Check, Need, Process, Scene, Step, Text, target
from wayside.deploy.intent import Exposure, Intent, ModelIntent, Port, RouterIntent
from wayside.deploy.parts import config, rights
from wayside.deploy.parts.options import options
from wayside.manifests import router_pod
from wayside.settings.base import Settings
from wayside.vocab.errors import Problem

NAME: Final = "local"
_HERE: Final = "127.0.0.1"
_OF_A_CLUSTER: Final = ("exposure", "gateway", "clusters", "monitoring", "labels", "namespace")
_OF_THE_ROUTER: Final = (
    "image", "replicas", "autoscale", "resources", "storage", "storage_class", "network_policy",
)  # fmt: skip
_OF_SERVERS: Final = ("image", "resources", "token", "storage", "pool", "kserve")


class LocalOptions(Settings):
    """Of `--target local`.

    Example: ``{port: 8801, first_port: 9001}``
    """

    port: Port = 8801
    """Where the router answers clients."""
    management_port: Port = 8080
    """Where it shows its metrics."""
    first_port: Port = 9001
    """Of the first simulator; each further one takes the next."""
    folder: str = ""
    """Logs, configuration and process ids; `~/.local/state/wayside/deploy/<name>` when empty."""


@target(
    NAME,
    options=LocalOptions,
    example="""\
name: semantic-router
target: local
models:
  Model-A: {run: simulator}
  Model-B: {run: simulator}
default_model: Model-A
router:
  settings:
    routing:
      signals:
        keyword:
          law: {keywords: [contract, lawsuit, liability]}
      decisions:
        - {name: law, when: "keyword:law", models: [Model-B]}
""",
)
class Local:
    """This machine: simulated models and a router as processes, without a cluster."""

    def problems(self, intent: Intent) -> Sequence[Problem]:
        options(intent, NAME, LocalOptions)
        found: list[Problem] = []
        for field in _OF_A_CLUSTER:
            if field in intent.model_fields_set and getattr(intent, field) != _default(field):
                found.append(_no_cluster(field))
        for field in _OF_THE_ROUTER:
            if field in intent.router.model_fields_set and getattr(
                intent.router, field
            ) != getattr(RouterIntent(), field):
                found.append(_no_cluster(f"router.{field}"))
        for name, model in intent.models.items():
            found += _of_a_model(name, model)
        found += rights.problems(intent)
        return found

    def needs(self, intent: Intent) -> Sequence[Need]:
        return ()

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        wish = options(intent, NAME, LocalOptions)
        places: dict[str, str] = {}
        port = wish.first_port
        run: list[Process] = []
        for name, model in intent.models.items():
            if model.run is None:
                continue
            places[name] = f"http://{_HERE}:{port}"
            served = str(model.settings.get("upstream_name") or name)
            argv = ["wayside", "sim", "--model", served, "--host", _HERE, "--port", str(port)]
            argv += ["--replicas", str(model.replicas), *model.args]
            run.append(Process(name=_file(name), argv=tuple(argv), url=f"{places[name]}/health"))
            port += model.replicas
        several = {
            name: [f"http://{_HERE}:{_port(places[name]) + i}" for i in range(model.replicas)]
            for name, model in intent.models.items()
            if model.run is not None and model.replicas > 1
        }
        if run:
            yield Step(title="simulated models", processes=tuple(run))
        also: dict[str, Any] = {
            "listen": {"address": _HERE, "port": wish.port},
            "management": {"address": _HERE, "port": wish.management_port},
            "models": {name: {"endpoints": urls} for name, urls in several.items()},
            **rights.settings(intent, folder="maas"),
        }
        if not several:
            del also["models"]
        made = config.configuration(intent, places, also=also, embedded_tiers=True)
        router = Process(
            name="router",
            argv=("wayside", "serve", "--config", config.FILE),
            # Whatever it follows needs no other process; what it reads at its start does.
            env={"WAYSIDE_READ_AT_START": router_pod.at_start(made.settings, None)},
            url=f"http://{_HERE}:{wish.port}/health",
        )
        note = f"OpenAI clients: base_url http://{_HERE}:{wish.port}/v1"
        yield Step(
            title="router",
            texts=(Text(config.FILE, made.text),),
            processes=(router,),
            notes=(note,),
        )

    def checks(self, intent: Intent) -> Sequence[Check]:
        if intent.tiers is not None:
            return [
                Check(title="the router is ready", path="/health"),
                Check(title="nobody gets in without a token", status=401),
            ]
        name = intent.default_model or next(iter(intent.models), "")
        said = [{"role": "user", "content": "Say hello."}]
        return [
            Check(title="models are listed"),
            Check(
                title=f"{name} answers",
                path="/v1/chat/completions",
                body={"model": name, "messages": said, "max_tokens": 16},
            ),
        ]


def _of_a_model(name: str, model: ModelIntent) -> Iterator[Problem]:
    at = f"models.{name}"
    if model.run in ("vllm", "llm-katan"):
        what = f"{model.run} is not started here"
        yield Problem(what, f"{at}.run", "write run: simulator, or cloud with its address")
    if model.service is not None and model.run is None:
        what = "there are no Services here"
        yield Problem(what, f"{at}.service", 'write cloud: {url: "http://127.0.0.1:8000/v1"}')
    for field in _OF_SERVERS:
        said = getattr(model, field)
        if (
            field in model.model_fields_set
            and said
            and said != ModelIntent.model_fields[field].get_default(call_default_factory=True)
        ):
            yield _no_cluster(f"{at}.{field}")
    if model.replicas == 0:
        yield Problem("no server would be there", f"{at}.replicas", "write 1 or more")
    if model.source and model.run == "simulator":
        yield Problem("a simulator has no weights", f"{at}.source", "leave it out")
    if model.cloud is not None and model.cloud.key is not None:
        what = "there are no Secrets here"
        fix = f"leave it out, and write {at}.settings.credential: {{env: NAME}}"
        yield Problem(what, f"{at}.cloud.key", fix)
    if model.cloud is not None and model.cloud.ca is not None:
        fix = f"leave it out, and write {at}.settings.tls: {{ca_file: PATH}}"
        yield Problem("there are no Secrets here", f"{at}.cloud.ca", fix)


def _no_cluster(where: str) -> Problem:
    return Problem("is for a cluster, and there is none here", where, "leave it out")


def _default(field: str) -> Any:
    return (
        Exposure()
        if field == "exposure"
        else Intent.model_fields[field].get_default(call_default_factory=True)
    )


def _file(name: str) -> str:
    """A model's name as that of its log."""
    return "model-" + "".join(c if c.isalnum() or c in "-_" else "-" for c in name)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
