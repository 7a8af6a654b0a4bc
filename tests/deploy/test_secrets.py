"""No value of a Secret anywhere: files, inventories, plans, command lines. AX-08."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.cluster import Kubectl
from wayside.cli import cli
from wayside.cli.deploy_intent import Wanted, check, entries, named, parse
from wayside.deploy.applying.diff import changes
from wayside.vocab.errors import ConfigError

VALUE = "sk-ThisIsTheSecretItself0123456789"


def test_a_diff_of_a_secret_shows_which_keys_and_no_value() -> None:
    def secret(**data: str) -> dict[str, object]:
        return {"kind": "Secret", "metadata": {"name": "s"}, "data": data, "stringData": data}

    found = changes(secret(a=VALUE, b=VALUE, c="x"), secret(a=f"{VALUE}2", b=VALUE, d=VALUE))
    told = json.dumps([[c.op, c.path, c.before, c.after] for c in found])
    assert {c.path for c in found} == {f"{p}.{k}" for p in ("data", "stringData") for k in "acd"}
    assert VALUE not in told and not any(VALUE in line for c in found for line in c.lines())


@pytest.mark.parametrize("target", sorted(entries()))
def test_a_key_that_is_written_down_is_refused_and_not_repeated(target: str) -> None:
    """In the configuration a key is a file or a variable, never itself."""
    cloud = {"url": "https://api.openai.com/v1"}
    for model in (
        {"cloud": cloud, "settings": {"credential": VALUE}},
        {"cloud": {**cloud, "key": VALUE}},
        {"cloud": {"url": f"https://user:{VALUE}@api.openai.com/v1"}},
    ):
        with pytest.raises(ConfigError) as caught:
            intent = parse({"models": {"gpt": model}, "default_model": "gpt"})
            check(Wanted(named(target), intent, {}))
        assert any(p.where.startswith("models.gpt") for p in caught.value.problems)
        assert VALUE not in str(caught.value)
    assert "models.gpt.cloud" in str(caught.value)


def test_what_belongs_there_is_said() -> None:
    with pytest.raises(
        ConfigError, match=r"cloud\.key: expected a mapping; keys here: key, secret"
    ):
        parse({"models": {"gpt": {"cloud": {"url": "https://a", "key": VALUE}}}})


def test_no_value_of_a_secret_is_read_or_told(
    kubectl: Kubectl, kubeconfig: Path, tmp_path: Path
) -> None:
    """The Secret is there and used: preflight, plan, apply, status and the inventory know its
    name and its key."""
    where = f"s-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", where)
    kubectl("-n", where, "create", "secret", "generic", "openai", f"--from-literal=KEY={VALUE}")
    cloud = {"url": "https://api.openai.com/v1", "key": {"secret": "openai", "key": "KEY"}}
    held = {"name": "r", "namespace": where, "target": "kubernetes",
            "models": {"gpt": {"cloud": cloud}}, "default_model": "gpt"}  # fmt: skip
    file = tmp_path / "w.yaml"
    file.write_text(yaml.safe_dump(held))
    told = ""
    for what, more in (("preflight", []), ("plan", ["--json"]), ("apply", ["--yes", "--no-wait"]),
                       ("plan", []), ("status", ["--json"])):  # fmt: skip
        done = CliRunner().invoke(
            cli, ["deploy", what, "-f", str(file), "--kubeconfig", str(kubeconfig), *more]
        )
        told += done.output
    assert "openai" in told and "ok      Secret openai" in told
    told += kubectl("-n", where, "get", "configmaps,deployments", "-o", "yaml")
    coded = kubectl("-n", where, "get", "secret", "openai", "-o", "jsonpath={.data.KEY}")
    assert len(coded) > 20 and coded not in told and VALUE not in told
