"""Providers' keys: found by reference, rotated without a restart (A4-28)."""

from pathlib import Path

import pytest

from tests.flow.driving import chat, forwarded, outcome, post
from wayside.runtime import compile_policy
from wayside.runtime.keys import MAX_BYTES, KeyRing
from wayside.settings import CredentialSettings, RouterSettings
from wayside.vocab.errors import ConfigError, Problem, RequestError


def ring(**env: str) -> KeyRing:
    return KeyRing(env)


def refused(keys: KeyRing, settings: CredentialSettings) -> Problem:
    with pytest.raises(ConfigError) as caught:
        keys.resolve(settings, "models.a.credential")
    (problem,) = caught.value.problems
    assert problem.where == "models.a.credential"
    return problem


def test_a_key_is_read_from_the_environment() -> None:
    found = ring(KEY=" sk-1\n").resolve(CredentialSettings(env="KEY"), "")
    assert found.pair() == ("authorization", "Bearer sk-1")


def test_a_key_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-1\n")
    settings = CredentialSettings(file=str(path), header="api-key", prefix="")
    assert ring().resolve(settings, "").pair() == ("api-key", "sk-1")


def test_equal_references_share_one_credential() -> None:
    keys = ring(KEY="sk-1")
    one = keys.resolve(CredentialSettings(env="KEY"), "")
    assert keys.resolve(CredentialSettings(env="KEY"), "") is one
    assert keys.resolve(CredentialSettings(env="KEY", prefix=""), "") is not one


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_variable_without_a_key_is_refused(value: str | None) -> None:
    keys = KeyRing({} if value is None else {"KEY": value})
    problem = refused(keys, CredentialSettings(env="KEY"))
    assert problem.what == "environment variable KEY is empty or not set"
    assert problem.fix == "set it before starting"


@pytest.mark.parametrize("value", ["sk\r\nx-evil: 1", "sk-\u00e9", "a\x00b"])
def test_a_key_that_is_no_header_is_refused_and_not_shown(value: str) -> None:
    problem = refused(ring(KEY=value), CredentialSettings(env="KEY"))
    assert "printable ASCII" in problem.what
    assert value not in str(problem)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    problem = refused(ring(), CredentialSettings(file=str(tmp_path / "none")))
    assert problem.what.startswith("cannot read ")
    assert "cannot read" in refused(ring(), CredentialSettings(file=str(tmp_path))).what
    (tmp_path / "empty").touch()
    assert "empty" in refused(ring(), CredentialSettings(file=str(tmp_path / "empty"))).what


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(b"x" * (MAX_BYTES * 2))
    found = ring().resolve(CredentialSettings(file=str(tmp_path / "huge")), "")
    assert len(found.value) == MAX_BYTES


def test_a_rotated_file_reaches_the_policy_in_force(tmp_path: Path) -> None:  # A4-28
    path = tmp_path / "key"
    path.write_text("old")
    keys = ring()
    settings = RouterSettings.model_validate(
        {"models": {"m": {"endpoints": ["h"], "credential": {"file": str(path)}}}}
    )
    policy = compile_policy(settings, keys=keys.resolve)
    assert keys.refresh() == []
    path.write_text("new")
    assert keys.refresh() == [str(path)]
    assert keys.refresh() == []
    found = forwarded(policy, post(chat("m")))
    assert dict(found.set_headers)["authorization"] == "Bearer new"


def test_a_secret_swapped_like_kubernetes_does_is_seen(tmp_path: Path) -> None:
    for stamp, key in (("..2026_1", "old"), ("..2026_2", "new")):
        (tmp_path / stamp).mkdir()
        (tmp_path / stamp / "key").write_text(key)
    (tmp_path / "..data").symlink_to("..2026_1")
    (tmp_path / "key").symlink_to("..data/key")
    keys = ring()
    found = keys.resolve(CredentialSettings(file=str(tmp_path / "key")), "")
    (tmp_path / "..tmp").symlink_to("..2026_2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    assert keys.refresh() == [str(tmp_path / "key")]
    assert found.value == "new"


@pytest.mark.parametrize("bad", [None, "", "two\nlines"])
def test_a_file_that_is_gone_or_bad_keeps_the_last_key(tmp_path: Path, bad: str | None) -> None:
    path = tmp_path / "key"
    path.write_text("good")
    keys = ring()
    found = keys.resolve(CredentialSettings(file=str(path)), "")
    if bad is None:
        path.unlink()
    else:
        path.write_text(bad)
    assert keys.refresh() == []
    assert found.value == "good"


def test_a_variable_never_changes_under_us() -> None:
    env = {"KEY": "old"}
    keys = KeyRing(env)
    found = keys.resolve(CredentialSettings(env="KEY"), "")
    env["KEY"] = "new"
    assert keys.refresh() == []
    assert found.value == "old"


def test_a_secret_of_the_cluster_is_waited_for_and_a_key_that_goes_is_gone() -> None:
    """A4-24, A4-28: without its key a model answers 503; others are asked as ever."""
    models = {
        "cloud": {
            "endpoints": ["https://api.example.com/v1"],
            "credential": {"secret": "default/openai-api-key", "key": "OPENAI_API_KEY"},
        },
        "local": {"endpoints": ["http://127.0.0.1:1"]},
    }
    keys = ring()
    settings = RouterSettings.model_validate(
        {"models": models, "routing": {"default_model": "local"}}
    )
    policy = compile_policy(settings, keys=keys.resolve)
    assert keys.secrets == {"default/openai-api-key"}

    def refused_now() -> None:
        with pytest.raises(RequestError) as caught:
            outcome(policy, post(chat("cloud")))
        assert (caught.value.status, caught.value.code) == (503, "provider_key_missing")

    refused_now()
    assert forwarded(policy, post(chat("local"))).target.name == "local"

    def sent() -> str:
        return dict(forwarded(policy, post(chat("cloud"))).set_headers)["authorization"]

    assert keys.told("default/openai-api-key", {"OPENAI_API_KEY": b"sk-1\n", "other": b"x"})
    assert sent() == "Bearer sk-1"
    assert not keys.told("default/openai-api-key", {"OPENAI_API_KEY": b"sk-1"})
    assert keys.told("default/openai-api-key", {"OPENAI_API_KEY": b"sk-2"})
    assert sent() == "Bearer sk-2"
    for gone in ({}, {"other": b"x"}, {"OPENAI_API_KEY": b"a\r\nx-evil: 1"}):
        keys.told("default/openai-api-key", gone)
        refused_now()


def test_only_models_wait_for_a_secret() -> None:
    settings = CredentialSettings(secret="a/b", key="k")
    with pytest.raises(ConfigError, match="only models wait"):
        ring().resolve(settings, "engines.x.credential")


@pytest.mark.parametrize(
    "said",
    [
        {"secret": "openai-api-key", "key": "K"},
        {"secret": "a/b/c", "key": "K"},
        {"secret": "../b", "key": "K"},
        {"secret": "a/b"},
        {"key": "K"},
        {"secret": "a/b", "key": "../K/x"},
        {"secret": "a/b", "key": "K", "env": "K"},
    ],
)
def test_a_reference_to_a_secret_is_whole(said: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        CredentialSettings.model_validate(said)
