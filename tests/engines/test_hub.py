"""Pulling from a hub that is slow to finish, redirects, lies, or is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import hub_server
from tests.engines.hub_server import REPOSITORY, Storage
from wayside.engines import store
from wayside.engines.folder import find
from wayside.engines.hub import Hub, HubError, Listing, Remote, choose

GRAPH = bytes(range(256)) * 40
FILES = {
    "config.json": b'{"architectures": ["BertModel"]}',
    "tokenizer.json": b"{}",
    "README.md": b"# tiny",
    "onnx/model.onnx": GRAPH,
    "onnx/model_fp16.onnx": GRAPH + b"fp16",
    "model.safetensors": GRAPH + b"tensors",
    "pytorch_model.bin": GRAPH + b"pickle",
    "train.py": b"import os",
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
}
USEFUL = {"config.json", "tokenizer.json", "README.md", "1_Pooling/config.json"}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_TOKEN", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WAYSIDE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models" / "acme" / "tiny"


@pytest.fixture
def hub(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    with hub_server.serving(dict(FILES)) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.hub)
        yield served


def there(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_model_is_brought_with_what_stands_beside_it(hub: Storage, kept: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    folder = Hub().pull(REPOSITORY, progress=lambda *told: seen.append(told))
    assert folder == kept
    assert there(folder) == {*USEFUL, "onnx/model.onnx", store.LOCK}
    assert (folder / "onnx/model.onnx").read_bytes() == GRAPH
    assert ("onnx/model.onnx", len(GRAPH), len(GRAPH)) in seen
    lock = store.lock_of(folder)
    assert lock and lock["revision"] == hub.revision and lock["license"] == "mit"
    assert list(store.verify(folder)) == [] and store.pulled() == [REPOSITORY]
    assert find(REPOSITORY).path == folder and find("ACME/tiny").path == folder


def test_what_is_complete_is_not_sent_again(hub: Storage, kept: Path) -> None:
    Hub().pull(REPOSITORY)
    lock = (kept / store.LOCK).read_bytes()
    hub.asked.clear()
    Hub().pull(REPOSITORY)
    assert [path for _, path, _ in hub.asked] == [f"/api/models/{REPOSITORY}/revision/main"]
    assert (kept / store.LOCK).read_bytes() == lock


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_is_resumed(hub: Storage, kept: Path, ranges: bool) -> None:
    hub.breaks_after, hub.ranges = 4_000, ranges
    with pytest.raises(HubError, match=r"broke off at 4000 .*run it again"):
        Hub().pull(REPOSITORY)
    assert store.lock_of(kept) is None
    with pytest.raises(ValueError, match=r"not pulled to its end; run: wayside models pull"):
        find(REPOSITORY)
    Hub().pull(REPOSITORY)
    assert (kept / "onnx/model.onnx").read_bytes() == GRAPH
    asked = [headers.get("range") for _, path, headers in hub.asked if path.endswith("el.onnx")]
    assert asked[-1] == "bytes=4000-"
    assert not [name for name in there(kept) if name.endswith(".part")]


def test_an_update_that_fails_leaves_the_old_model_usable(hub: Storage, kept: Path) -> None:
    Hub().pull(REPOSITORY)
    hub.files["onnx/model.onnx"] = GRAPH[::-1]
    hub.revision, hub.breaks_after = "fedcba9876543210", 500
    with pytest.raises(HubError, match="broke off"):
        Hub().pull(REPOSITORY)
    assert list(store.verify(kept)) == [] and find(REPOSITORY).path == kept
    del hub.files["README.md"]
    Hub().pull(REPOSITORY)
    assert (kept / "onnx/model.onnx").read_bytes() == GRAPH[::-1]
    assert "README.md" not in there(kept), "what the new revision lacks is gone"
    assert list(store.verify(kept)) == []


def test_other_weights_of_a_revision_join_it(hub: Storage, kept: Path) -> None:
    Hub().pull(REPOSITORY)
    Hub().pull(REPOSITORY, weights="torch")
    Hub().pull(REPOSITORY, file="onnx/model_fp16.onnx")
    wanted = {"onnx/model.onnx", "onnx/model_fp16.onnx", "model.safetensors"}
    assert there(kept) == {*USEFUL, *wanted, store.LOCK}
    assert list(store.verify(kept)) == []


def test_content_that_is_not_what_was_promised_is_refused(hub: Storage, kept: Path) -> None:
    hub.corrupt = GRAPH[::-1]
    with pytest.raises(HubError, match="not what the hub promised"):
        Hub().pull(REPOSITORY)
    assert not there(kept) - USEFUL - {f".{n}" for n in USEFUL} - _parts(kept)
    hub.corrupt = GRAPH + b"more"
    with pytest.raises(HubError, match="larger than the 10240 bytes promised"):
        Hub().pull(REPOSITORY)
    assert store.lock_of(kept) is None


def _parts(folder: Path) -> set[str]:
    return {name for name in there(folder) if name.endswith(".part") and "onnx" not in name}


def test_a_small_file_is_checked_against_gits_hash(
    hub: Storage, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = hub.listing()
    monkeypatch.setattr(hub, "listing", lambda: listing)
    hub.files["config.json"] = b'{"architectures": ["BertEvil!"]}'
    with pytest.raises(HubError, match=r"config\.json is not what the hub promised"):
        Hub().pull(REPOSITORY)


def test_the_key_is_for_the_hub_alone(
    hub: Storage, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    Hub().pull(REPOSITORY)
    sent = {name: headers.get("authorization") for name, _, headers in hub.asked}
    assert sent == {"hub": "Bearer hf_secret", "storage": None}


@pytest.mark.parametrize(
    ("url", "problem"),
    [("ftp://127.0.0.1:9", "redirects to ftp://127"), ("file:///etc/passwd?", "answered 302")],
)
def test_a_redirect_to_something_else_is_refused(
    hub: Storage, kept: Path, url: str, problem: str
) -> None:
    hub.redirect_to = url
    with pytest.raises(HubError, match=problem):
        Hub().pull(REPOSITORY)


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (401, "gated; accept its licence on the hub and set HF_TOKEN"),
        (403, "set HF_TOKEN"),
        (404, "has no acme/tiny"),
        (429, "asks to wait"),
        (500, "answered 500 for acme/tiny"),
    ],
)
def test_what_a_hub_says_no_with(hub: Storage, status: int, problem: str) -> None:
    hub.statuses[f"/api/models/{REPOSITORY}/revision/main"] = status
    with pytest.raises(HubError, match=problem):
        Hub().pull(REPOSITORY)


def test_offline_says_what_can_be_done(kept: Path) -> None:
    with pytest.raises(HubError, match=r"cannot reach http://127\.0\.0\.1:9: .*HF_ENDPOINT, a"):
        Hub("http://127.0.0.1:9").pull(REPOSITORY)
    with pytest.raises(HubError, match="is not a URL"):
        Hub("file:///etc")


def test_a_model_may_be_too_large(hub: Storage, kept: Path) -> None:
    with pytest.raises(HubError, match="allow it with --max-gb"):
        Hub().pull(REPOSITORY, max_bytes=1000)
    assert not kept.exists()


@pytest.mark.parametrize("name", ["../../evil.json", "/etc/config.json", "a\\b.json", "a/../b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(hub: Storage, name: str) -> None:
    hub.files[name] = b"{}"
    with pytest.raises(HubError, match="outside of its folder"):
        Hub().pull(REPOSITORY)


def listing(*paths: str) -> Listing:
    return Listing("acme/tiny", "abc1234", "mit", tuple(Remote(path, 1) for path in paths))


def test_the_files_worth_having() -> None:
    def chosen(*paths: str, weights: str = "auto", file: str | None = None) -> list[str]:
        return [r.path for r in choose(listing(*paths), weights, file)]  # type: ignore[arg-type]

    assert chosen("onnx/model.onnx", "onnx/model.onnx_data", "x.txt") == [
        "onnx/model.onnx",
        "onnx/model.onnx_data",
    ]
    assert chosen("model.onnx", "onnx/model_int8.onnx") == ["onnx/model_int8.onnx"]
    shards = ["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"]
    assert chosen(*shards, "model.bin") == shards
    assert chosen("model.onnx", "model.safetensors", weights="torch") == ["model.safetensors"]
    for paths, weights, problem in (
        (("pytorch_model.bin",), "auto", "pickled weights are not taken"),
        (("model.safetensors",), "onnx", "has no .onnx file"),
        (("onnx/model_q4.onnx",), "auto", "choose one of .*--file: onnx/model_q4.onnx"),
        (("adapter_config.json", "adapter.safetensors"), "auto", "is a LoRA adapter"),
    ):
        with pytest.raises(HubError, match=problem):
            chosen(*paths, weights=weights)
    with pytest.raises(HubError, match=r"has no other\.onnx; it has model\.onnx"):
        chosen("model.onnx", file="other.onnx")


def test_what_differs_is_named(hub: Storage, kept: Path) -> None:
    Hub().pull(REPOSITORY)
    (kept / "config.json").write_bytes(b"{}")
    (kept / "tokenizer.json").unlink()
    (kept / "onnx/model.onnx").write_bytes(GRAPH[::-1])
    assert [said.removeprefix(f"{kept}/") for said in store.verify(kept)] == [
        "config.json: has 2 bytes, 32 were pulled",
        "onnx/model.onnx: its content has changed",
        "tokenizer.json: is missing",
    ]
    (kept / store.LOCK).write_text("[]")
    assert "was not pulled" in next(store.verify(kept))


def test_a_lock_cannot_point_out_of_its_folder(kept: Path) -> None:
    kept.mkdir(parents=True)
    files = {"../../../etc/passwd": {"sha256": "", "size": 1}}
    (kept / store.LOCK).write_text(json.dumps({"repository": REPOSITORY, "files": files}))
    with pytest.raises(ValueError, match="is outside of"):
        list(store.verify(kept))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("llm-semantic-router/mmbert32k-intent-clasifier-merged", "did you mean 'llm-semantic-r"),
        ("mmbert32k-pii-detector-merged", "models pull llm-semantic-router/mmbert32k-pii"),
        ("models/mom-embedding-pro", "models pull Qwen/Qwen3-Embedding-0.6B"),
        ("acme/other", "or run: wayside models pull acme/other"),
        ("./nowhere", "give the path of a folder"),
    ],
)
def test_a_model_that_is_not_here_says_how_to_get_it(kept: Path, name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        find(name)
