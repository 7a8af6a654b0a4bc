"""Kubeconfigs, service accounts and certificates: what is read, what is refused, what is told."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from wayside.kube.access import REREAD_S, Access, Material, Token, in_cluster
from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access, from_kubeconfig
from wayside.settings.address import parse_address
from wayside.vocab.errors import ConfigError

from .fake import token_file

SECRET = "s3cret-token"


def config(
    cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **rest: Any
) -> dict[str, Any]:
    return {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://k:6443/base", **(cluster or {})}}
        ],
        "users": [{"name": "u", "user": {"token": SECRET} if user is None else user}],
        **rest,
    }


def written(folder: Path, document: Any, name: str = "config") -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_a_kubeconfig(tmp_path: Path) -> None:
    found = from_kubeconfig([written(tmp_path, config())])

    assert str(found.server) == "https://k:6443/base"
    assert (found.namespace, found.verified, found.server_name) == ("ns", True, None)
    assert found.token.get(0) == SECRET


def test_paths_are_relative_to_their_file(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(SECRET + "\n")
    found = from_kubeconfig(
        [
            written(
                tmp_path,
                config(
                    {"certificate-authority": "ca.crt", "tls-server-name": "k8s"},
                    {"tokenFile": "t", "client-certificate": "c.crt", "client-key": "/abs/k.key"},
                ),
            )
        ]
    )

    assert found.ca == Material(tmp_path / "ca.crt")
    assert found.certificate == Material(tmp_path / "c.crt")
    assert found.key == Material(Path("/abs/k.key"))
    assert found.server_name == "k8s"
    assert found.token.get(0) == SECRET


def test_the_first_file_that_says_something_counts(tmp_path: Path) -> None:
    first = {"users": [{"name": "u", "user": {"token": "first"}}]}
    paths = [written(tmp_path, first, "first"), written(tmp_path, config(), "second")]
    found = from_kubeconfig(paths)

    assert (found.token.get(0), found.server.host) == ("first", "k")


def test_another_context(tmp_path: Path) -> None:
    document = config()
    document["contexts"].append({"name": "two", "context": {"cluster": "c"}})
    found = from_kubeconfig([written(tmp_path, document)], context="two")

    assert (found.namespace, found.token.get(0)) == ("default", "")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (config(user={"exec": {"command": "aws"}}), "users.u.exec: runs a program"),
        (config(user={"auth-provider": {"name": "gcp"}}), "auth-provider"),
        (config(user={"username": "me", "password": SECRET}), "removed in 1.19"),
        (config(user={"token": SECRET, "as": "root"}), "users.u.as: impersonates"),
        (config(user={"token": SECRET, "as-groups": ["admins"]}), "impersonates"),
        (config(user={"token": f"{SECRET}\nx-injected: 1"}), "users.u.token: is more than plain"),
        (config({"proxy-url": "http://p"}), "clusters.c.proxy-url: goes through a proxy"),
        (config(**{"current-context": "three"}), "has no context 'three'; use: one"),
        (config(**{"current-context": ""}), "has no current-context; name a context: one"),
        (config(clusters=[]), "has no cluster 'c'; it names none"),
        (config(users=[]), "has no user 'u'"),
        (config({"server": "k:6443"}), "write https://host:port"),
        (config({"server": ""}), "write https://host:port"),
        (config({"certificate-authority-data": "%%"}), "is not base64"),
        (config(user={"client-certificate": "x"}), "only one of client-certificate"),
        (config(user={"client-key-data": "eA=="}), "only one of client-certificate"),
        ("- a\n", "is not a kubeconfig"),
        (f"token: {SECRET}: {{", "is not YAML"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, document: Any, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        from_kubeconfig([written(tmp_path, document)])

    assert said in str(told.value)
    assert str(tmp_path) in str(told.value)
    assert SECRET not in str(told.value)


def test_where_access_is_looked_for(tmp_path: Path) -> None:
    given = written(tmp_path, config({"server": "https://given"}), "given")
    named = written(tmp_path, config({"server": "https://named"}), "named")
    home = tmp_path / ".kube"
    home.mkdir()
    written(home, config({"server": "https://home"}))
    account = made_account(tmp_path / "account")
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    everything = {**pod, "KUBECONFIG": f"{tmp_path}/absent:{named}", "HOME": str(tmp_path)}

    def host(kubeconfig: str | None, environ: dict[str, str]) -> str:
        return find_access(kubeconfig, environ=environ, account=account).server.host

    assert host(str(given), everything) == "given"
    assert host(None, everything) == "named"
    assert host(None, {**pod, "HOME": str(tmp_path)}) == "10.0.0.1"
    assert host(None, {"HOME": str(tmp_path)}) == "home"
    with pytest.raises(ConfigError, match="found no Kubernetes cluster"):
        host(None, {"HOME": str(account)})
    with pytest.raises(ConfigError, match="No such file"):
        host(str(tmp_path / "nowhere"), everything)
    with pytest.raises(ConfigError, match="No such file"):
        host(None, {"KUBECONFIG": f"{tmp_path}/nowhere"})


def made_account(folder: Path) -> Path:
    folder.mkdir()
    (folder / "token").write_text(SECRET)
    (folder / "ca.crt").write_text("")
    (folder / "namespace").write_text("mine\n")
    return folder


@pytest.mark.parametrize(
    ("host", "netloc"), [("10.0.0.1", "10.0.0.1:6443"), ("fd00::1", "[fd00::1]:6443")]
)
def test_a_service_account(tmp_path: Path, host: str, netloc: str) -> None:
    account = made_account(tmp_path / "account")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"}
    found = in_cluster(environ=environ, account=account)

    assert (found.server.scheme, found.server.netloc) == ("https", netloc)
    assert (found.namespace, found.token.get(0)) == ("mine", SECRET)
    assert found.ca == Material(account / "ca.crt")


def test_a_pod_without_a_token_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        in_cluster(environ={"KUBERNETES_SERVICE_HOST": "h"}, account=tmp_path)


def test_a_token_is_read_again_when_that_is_due(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = token_file(path, "one")

    assert token.get(0) == "one"
    path.write_text("two")
    assert token.get(REREAD_S - 1) == "one"
    assert token.get(REREAD_S) == "two"
    path.write_text("three")
    assert token.refused("two", REREAD_S + 1)
    assert token.get(REREAD_S + 1) == "three"
    assert not token.refused("three", REREAD_S + 2)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"a\r\nx-injected: 1"])
def test_a_token_that_cannot_be_read_leaves_the_last(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "token"
    token = token_file(path, "one")
    assert token.get(0) == "one"
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert token.get(2 * REREAD_S) == "one"


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    key = base64.b64encode(b"PRIVATE").decode()
    found = from_kubeconfig(
        [
            written(
                tmp_path,
                config(
                    user={"token": SECRET, "client-certificate-data": key, "client-key-data": key}
                ),
            )
        ]
    )

    assert SECRET not in repr(found)
    assert "PRIVATE" not in repr(found)
    assert key not in repr(found)


def access(server: str = "https://localhost", **rest: Any) -> Access:
    return Access(server=parse_address(server), origin="config", **rest)


def test_plain_http_needs_no_certificates() -> None:
    assert access("http://localhost:1").tls() is None


def test_certificates_written_out_and_in_files(tmp_path: Path, authority: trustme.CA) -> None:
    leaf = authority.issue_cert("client")
    certificate = leaf.cert_chain_pems[0].bytes().decode()
    key = leaf.private_key_pem.bytes().decode()
    (tmp_path / "key").write_text(key)
    for material in (Material(text=key), Material(tmp_path / "key")):
        context = access(
            ca=Material(text=authority.cert_pem.bytes().decode()),
            certificate=Material(text=certificate),
            key=material,
        ).tls()

        assert context is not None
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert len(context.get_ca_certs()) == 1


def test_only_on_request_is_nothing_verified(authority: trustme.CA) -> None:
    context = access(verified=False).tls()

    assert context is not None
    assert context.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("text", ["", "\n", "not PEM", "-----BEGIN CERTIFICATE-----\nxx\n"])
def test_an_authority_that_is_none_is_not_replaced_by_the_systems(text: str) -> None:
    with pytest.raises(ConfigError, match="certificate-authority"):
        Client(access(ca=Material(text=text)))


def test_a_key_that_is_not_the_certificates_is_refused_without_quoting_it(
    authority: trustme.CA,
) -> None:
    one, two = authority.issue_cert("one"), authority.issue_cert("two")
    key = two.private_key_pem.bytes().decode()
    with pytest.raises(ConfigError, match="client-certificate") as told:
        access(
            certificate=Material(text=one.cert_chain_pems[0].bytes().decode()),
            key=Material(text=key),
        ).tls()

    assert key.splitlines()[1] not in str(told.value)


def test_a_missing_file_is_named_by_what_it_is_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"certificate-authority \(No such file"):
        access(ca=Material(tmp_path / "absent")).tls()


def test_a_replaced_file_has_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "ca"
    path.write_text("one")
    found = access(ca=Material(path))
    before = found.stamp()

    assert found.stamp() == before
    path.with_name("new").write_text("three")
    path.with_name("new").rename(path)
    assert found.stamp() != before
    path.unlink()
    assert found.stamp() != before


def test_a_token_says_only_where_it_comes_from(tmp_path: Path) -> None:
    assert repr(Token(SECRET)) == "Token(written out)"
    assert repr(Token(path=tmp_path / "t")) == f"Token({tmp_path / 't'})"
