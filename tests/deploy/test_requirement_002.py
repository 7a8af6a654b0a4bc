"""Requirement 002's Validation section, played with curl against the embedded Models-as-a-Service:
the lines as the requirement prints them, through TLS.

What is adapted, and no more: ``oc`` is a stand-in (the cluster's domain, and who is logged in),
and the domain leads to a port of this machine, where a real Envoy with a certificate of its own
ends TLS. Then what the requirement names as limits of its first phase: models by right, limits,
expiry, revocation, and tokens that somebody changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.extproc.stand_ins import envoy
from tests.maas.rig import Clock
from tests.running import build
from wayside.cli import app as cli_app
from wayside.cli.serve import over_http
from wayside.envoy.words import tcp, typed
from wayside.maas import Maas
from wayside.sim import SimModel, SimServer, serve_sim

from .test_maas_policies import REQUIREMENT

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not REQUIREMENT.exists(), reason="the requirement is not here"),
    pytest.mark.skipif(
        not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq"
    ),
]
pytest.importorskip("envoy")
PEOPLE = {"alice": "premium-user", "bob": "", "carol": "few", "dora": "thrifty"}
TIERS = [
    {"name": "free", "groups": ["system:authenticated"], "level": 0},
    {"name": "premium", "groups": ["premium-user"], "level": 1},
    {"name": "few", "groups": ["few"], "level": 2, "requests": [{"limit": 2, "window": "1h"}]},
    {"name": "thrifty", "groups": ["thrifty"], "level": 3,
     "tokens": [{"limit": 40, "window": "1h"}]},
]  # fmt: skip
LAW = "What is the statute of limitations for breach of contract?"
OC = """\
#!/bin/sh
case "$*" in
  "get ingresses.config.openshift.io cluster -o jsonpath={.spec.domain}") printf %s "$OC_DOMAIN" ;;
  "whoami -t") printf '%s\\n' "$OC_TOKEN" ;;
  *) echo "the stand-in for oc does not know: $*" >&2; exit 1 ;;
esac
"""


CHAT = """\
curl -sSk -w '\\n%{http_code}' -X POST "https://${MAAS_HOST}/v1/chat/completions" \\
  -H "Authorization: Bearer ${ACCESS_TOKEN}" \\
  -H "Content-Type: application/json" \\
  -d "$ASKED"
"""


def section(title: str) -> str:
    """The fenced lines below a heading of the requirement."""
    text = REQUIREMENT.read_text("utf-8")
    found = re.search(rf"^### {re.escape(title)}.*?```bash\n(.*?)```", text, re.S | re.M)
    assert found, f"the requirement has no section {title!r}"
    return found[1]


GET_TOKEN = "Get MaaS Host and Token"
WITH = "Test with Authentication (expect 200)"
WITHOUT = "Test without Authentication (expect 401)"


def secret(name: str) -> str:
    return f"{name}-{'x' * 24}"


@dataclass
class Place:
    """Somebody at a shell with curl, jq and a stand-in for oc."""

    domain: str
    folder: Path
    clock: Clock
    app: Any

    async def sh(self, script: str, who: str = "alice", **more: str) -> str:
        env = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "OC_DOMAIN": self.domain,
            "OC_TOKEN": secret(who),
            **more,
        }
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=env,
        )  # fmt: skip
        out, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, errors.decode()
        return out.decode()

    async def token(self, who: str) -> str:
        """By the requirement's own lines."""
        return (await self.sh(f'{section(GET_TOKEN)}\nprintf %s "$ACCESS_TOKEN"', who)).strip()

    async def chat(self, token: str, text: str = "Hello", model: str = "auto") -> tuple[int, Any]:
        """The requirement's request with another prompt or model; its status and its answer."""
        asked = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 8}
        said = await self.sh(
            f"MAAS_HOST=maas.{self.domain}\n{CHAT}", ACCESS_TOKEN=token, ASKED=json.dumps(asked)
        )
        body, _, status = said.rpartition("\n")
        return int(status), json.loads(body)


@contextlib.asynccontextmanager
async def tls(port: int, folder: Path) -> AsyncIterator[int]:
    """The router's port behind TLS, as a gateway has it, with a certificate nobody knows."""
    probe = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    own: int = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    issued = trustme.CA().issue_cert("maas.localhost")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode()
    key = issued.private_key_pem.bytes().decode()
    pair = {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="tls",
        http_filters=[
            typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")
        ],
        route_config={
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/"}, "route": {"cluster": "router", "timeout": "0s"}}
                    ],
                }
            ]
        },
    )
    socket = typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={"tls_certificates": [pair]},
    )
    endpoint = {"endpoint": {"address": tcp("127.0.0.1", port)}}
    config = {
        "static_resources": {
            "listeners": [
                {
                    "name": "tls",
                    "address": tcp("127.0.0.1", own),
                    "filter_chains": [{"filters": [manager], "transport_socket": socket}],
                }
            ],
            "clusters": [
                {
                    "name": "router",
                    "connect_timeout": "2s",
                    "load_assignment": {
                        "cluster_name": "router",
                        "endpoints": [{"lb_endpoints": [endpoint]}],
                    },
                }
            ],
        }
    }
    async with envoy(config, folder):
        yield own


@contextlib.asynccontextmanager
async def maas(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """The router with models as a service, two models, and TLS in front."""
    clock = Clock()

    monkeypatch.setattr(cli_app, "_maas", lambda s, e, log: Maas(s, e, log, clock=clock))
    (folder / "oc").write_text(OC)
    (folder / "oc").chmod(0o755)
    servers = [SimServer((SimModel(name, answer_tokens=8),)) for name in ("Model-A", "Model-B")]
    async with serve_sim(servers) as (a, b):
        document = {
            "models": {
                "Model-A": {"endpoints": [a.url], "tiers": []},
                "Model-B": {"endpoints": [b.url], "tiers": ["premium"]},
            },
            "routing": {
                "default_model": "Model-A",
                "signals": {"keyword": {"law": {"keywords": ["statute"]}}},
                "decisions": [
                    {"name": "law", "when": "keyword:law", "models": ["Model-B", "Model-A"],
                     "select": "static"},
                ],
            },
            "maas": {
                "folder": str(folder / "maas"),
                "tiers": TIERS,
                "users": [
                    {"name": name, "groups": [group] if group else [],
                     "token": {"env": f"{name.upper()}_TOKEN"}}
                    for name, group in PEOPLE.items()
                ],
            },
        }  # fmt: skip
        env = {f"{name.upper()}_TOKEN": secret(name) for name in PEOPLE}
        app, _ = build(document, env)
        async with over_http(app) as url:
            port = int(url.rpartition(":")[2])
            async with tls(port, folder) as own:
                yield Place(f"localhost:{own}", folder, clock, app)


async def test_the_validation_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2-04, A2-07, A2-08: token, 200 with Model-A or Model-B, 401 without a token: the three
    blocks, word for word, in one shell."""
    async with maas(tmp_path, monkeypatch) as place:
        said = await place.sh(
            "\n".join(
                [
                    section(GET_TOKEN),
                    "echo HOST $MAAS_HOST; echo TOKEN $ACCESS_TOKEN; echo ANSWER",
                    section(WITH),
                    "echo REFUSAL",
                    section(WITHOUT),
                ]
            )
        )
        head, _, rest = said.partition("ANSWER\n")
        answer, _, refusal = rest.partition("REFUSAL\n")
        assert f"HOST maas.{place.domain}" in head
        token = re.search(r"TOKEN (\S+)", head)
        assert token and token[1].count(".") == 2
        assert json.loads(answer)["model"] in ("Model-A", "Model-B")
        body, _, status = refusal.strip().rpartition("\n")
        assert status == "HTTP Status: 401" and "Model-" not in body


async def test_beyond_the_first_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2-09, A2-35, A2-31 and what the requirement names as its limits."""
    async with maas(tmp_path, monkeypatch) as place:
        await models_by_right(place)
        await tokens_that_somebody_changed(place)
        await limits_of_tiers(place)
        await revoked_at_once(place)
        await expired(place)


async def models_by_right(it: Place) -> None:
    """A2-35, A2-36: Model-B is for premium. Others get another permitted candidate, and 403 where
    they ask for it by name."""
    alice, bob = await it.token("alice"), await it.token("bob")
    status, answer = await it.chat(alice, LAW)
    assert (status, answer["model"]) == (200, "Model-B")
    status, answer = await it.chat(bob, LAW)
    assert (status, answer["model"]) == (200, "Model-A")
    status, answer = await it.chat(bob, "Hello", "Model-B")
    assert status == 403 and "Model-B" in answer["error"]["message"]
    status, answer = await it.chat(alice, "Hello", "Model-B")
    assert (status, answer["model"]) == (200, "Model-B")


async def tokens_that_somebody_changed(it: Place) -> None:
    """D38: a token that was good a moment ago is remembered by every letter of it, in its case."""
    token = await it.token("alice")
    assert (await it.chat(token))[0] == 200
    head, claims, signature = token.split(".")
    flipped = signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]
    for mangled in (
        token.lower(),
        token.swapcase(),
        f"{head}.{claims}.{flipped}",
        f"{head}.{claims}.",
        f"{head}.{claims[:-2]}.{signature}",
        f"{head}.{claims}.{signature}x",
        secret("alice") + "x",
    ):
        assert mangled != token
        assert (await it.chat(mangled))[0] == 401, mangled
    assert (await it.chat(token))[0] == 200


async def limits_of_tiers(it: Place) -> None:
    """A2-31: requests and tokens, for each user; who is over is told 429."""
    carol, dora = await it.token("carol"), await it.token("dora")
    assert [(await it.chat(carol))[0] for _ in range(3)] == [200, 200, 429]
    spent = [0]
    while (found := await it.chat(dora))[0] == 200:
        spent.append(spent[-1] + found[1]["usage"]["total_tokens"])
        assert len(spent) < 12, "no limit holds"
    # One that is alone may take what is left, and go over it by its own answer.
    assert found[0] == 429 and spent[-2] < 40 <= spent[-1]
    assert (await it.chat(await it.token("bob")))[0] == 200


async def revoked_at_once(it: Place) -> None:
    """A2-06, A2-09: after DELETE none of the user's tokens is good any more; others' are."""
    token, others = await it.token("alice"), await it.token("bob")
    assert (await it.chat(token))[0] == 200
    revoke = (
        f"export MAAS_HOST=maas.{it.domain}\n"
        'curl -sSk -o /dev/null -w "%{http_code}" -X DELETE '
        '--oauth2-bearer "$(oc whoami -t)" "https://${MAAS_HOST}/maas-api/v1/tokens"'
    )
    assert await it.sh(revoke, "alice") == "204"
    assert (await it.chat(token))[0] == 401
    assert (await it.chat(others))[0] == 200
    assert (await it.chat(await it.token("alice")))[0] == 200


async def expired(it: Place) -> None:
    """A2-05, A2-09: a token of ten minutes is good for ten minutes."""
    token = await it.token("alice")
    it.clock.now += 590
    assert (await it.chat(token))[0] == 200
    it.clock.now += 20
    assert (await it.chat(token))[0] == 401
