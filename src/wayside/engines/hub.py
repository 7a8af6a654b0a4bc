"""Models from the Hugging Face Hub, or a mirror of it, by plain HTTPS: pull, list and verify.

Nothing here is needed to route: the built-in models are in the wheel. ``HF_ENDPOINT`` is the hub
(https://huggingface.co otherwise), ``HF_TOKEN`` a key, sent to the hub's host alone. Downloads are
resumed, bounded, and checked against the hashes that the hub lists.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, Literal
from urllib.parse import quote, urlsplit

from wayside.engines.store import LOCK, beneath, folder_of, lock_of, sha256, write_lock
from wayside.vocab.errors import WaysideError

CHUNK: Final = 1 << 20
MAX_LISTING: Final = 32 << 20
MAX_FILES: Final = 500
_BESIDE: Final = re.compile(
    r"(?:(?:config|tokenizer|tokenizer_config|special_tokens_map|modules|sentence_bert_config"
    r"|[a-z_]+_mapping|1_Pooling/config|generation_config)\.json|LICENSE[^/]*|README\.md)"
)
"""Small files worth having beside the weights."""
Weights = Literal["auto", "onnx", "torch"]
Progress = Callable[[str, int, int], None]
"""Told of a file's name, its bytes so far, and its size."""


class HubError(WaysideError):
    """The hub could not be asked, or what it sent is not what it promised."""


@dataclass(frozen=True, slots=True)
class Remote:
    """One file of a repository: its size in bytes, and what its content must hash to."""

    path: str
    size: int
    sha256: str | None = None
    git: str | None = None
    """Of files in git itself: the SHA-1 of ``blob <size>\\0`` and the content."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one revision."""

    repository: str
    revision: str
    license: str
    files: tuple[Remote, ...]


class Hub:
    """A hub at a base URL. Every method raises :class:`HubError` with what to do about it."""

    def __init__(
        self, base: str | None = None, token: str | None = None, timeout_s: float = 30.0
    ) -> None:
        env = os.environ
        self.base = (base or env.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        if urlsplit(self.base).scheme not in ("http", "https"):
            raise HubError(f"the hub {self.base!r} is not a URL; write HF_ENDPOINT=https://HOST")
        self._token = token or env.get("HF_TOKEN") or ""
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_Redirects(urlsplit(self.base).netloc))

    def listing(self, repository: str, revision: str = "main") -> Listing:
        """The files of a repository, with sizes and hashes."""
        url = f"{self.base}/api/models/{repository}/revision/{quote(revision, safe='')}?blobs=true"
        with self._open(url, repository) as reply:
            raw = reply.read(MAX_LISTING + 1)
        try:
            found = json.loads(raw)
            files = tuple(_remote(item) for item in found["siblings"])
            sha = str(found["sha"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HubError(f"{url} did not answer with a listing of files") from error
        if len(files) > MAX_FILES:
            raise HubError(f"{repository} has {len(files)} files, more than {MAX_FILES}")
        if not re.fullmatch(r"[0-9a-zA-Z]{7,64}", sha):
            raise HubError(f"{url} names no revision")
        card = found.get("cardData")
        licence = card.get("license") if isinstance(card, dict) else None
        return Listing(repository, sha, str(licence or "unknown"), files)

    def pull(
        self,
        repository: str,
        *,
        revision: str = "main",
        weights: Weights = "auto",
        file: str | None = None,
        max_bytes: int = 8 << 30,
        progress: Progress | None = None,
    ) -> Path:
        """Bring a repository's useful files here; what is complete already is not sent again."""
        listing = self.listing(repository, revision)
        wanted = choose(listing, weights, file)
        total = sum(remote.size for remote in wanted)
        if total > max_bytes:
            raise HubError(
                f"{repository} is {total / 1e9:.1f} GB, more than {max_bytes / 1e9:.1f} GB; "
                "allow it with --max-gb"
            )
        folder = folder_of(repository)
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if total > free:
            raise HubError(f"{folder} has {free / 1e9:.1f} GB left, {total / 1e9:.1f} are needed")
        before = lock_of(folder) or {"files": {}}
        files: dict[str, Any] = {}
        arrived: list[tuple[Path, Path]] = []
        for remote in wanted:
            path = beneath(folder, remote.path)
            part, digest = self._bring(listing, remote, path, progress or _silent)
            files[remote.path] = {"sha256": digest, "size": remote.size}
            if part != path:
                arrived.append((part, path))
        # All is here: what was complete before stays usable until this moment.
        (folder / LOCK).unlink(missing_ok=True)
        for part, path in arrived:
            part.replace(path)
        others = {k: v for k, v in before["files"].items() if k not in files}
        if before.get("revision") == listing.revision:
            files.update(others)  # other weights of the same model
        else:
            for left in others:
                beneath(folder, left).unlink(missing_ok=True)
        write_lock(folder, repository, listing.revision, listing.license, files)
        return folder

    def _bring(
        self, listing: Listing, remote: Remote, path: Path, progress: Progress
    ) -> tuple[Path, str]:
        """One file, resumed where an earlier try stopped: where it lies, and its SHA-256."""
        if path.is_file() and (digest := _right(path, remote)):
            return path, digest
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{listing.revision[:12]}.part")
        url = f"{self.base}/{listing.repository}/resolve/{listing.revision}/{quote(remote.path)}"
        have = part.stat().st_size if part.is_file() else 0
        if have > remote.size:
            have = 0
        if have < remote.size or not part.is_file():
            self._fetch(url, listing.repository, remote, part, have, progress)
        digest = _right(part, remote)
        if not digest:
            part.unlink()
            raise HubError(f"{url} is not what the hub promised (size or checksum); try again")
        return part, digest

    def _fetch(
        self, url: str, repository: str, remote: Remote, part: Path, have: int, progress: Progress
    ) -> None:
        headers = {"range": f"bytes={have}-"} if have else {}
        with self._open(url, repository, headers) as reply:
            if have and reply.status != 206:
                have = 0  # no ranges here: from the beginning
            with part.open("ab" if have else "wb") as out:
                try:
                    while chunk := reply.read(CHUNK):
                        have += len(chunk)
                        if have > remote.size:
                            raise HubError(
                                f"{url} is larger than the {remote.size} bytes promised"
                            )
                        out.write(chunk)
                        progress(remote.path, have, remote.size)
                except (OSError, HTTPException) as error:
                    raise HubError(f"{url} broke off at {have} bytes; run it again") from error
        if have < remote.size:
            raise HubError(f"{url} broke off at {have} of {remote.size} bytes; run it again")

    def _open(self, url: str, repository: str, headers: Mapping[str, str] | None = None) -> Any:
        request = urllib.request.Request(url, headers={"user-agent": "wayside", **(headers or {})})
        if self._token:
            request.add_unredirected_header("authorization", f"Bearer {self._token}")
        try:
            return self._opener.open(request, timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            raise HubError(_meaning(error.code, self.base, repository)) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise HubError(
                f"cannot reach {self.base}: {reason}; a mirror is set with HF_ENDPOINT, a proxy "
                f"with HTTPS_PROXY, or copy the folder of {repository} here by hand"
            ) from error


def choose(listing: Listing, weights: Weights, file: str | None) -> tuple[Remote, ...]:
    """The files worth having: one set of weights and the small files beside it."""
    beside = [f for f in listing.files if _BESIDE.fullmatch(f.path)]
    if any(f.path == "adapter_config.json" for f in listing.files):
        raise HubError(
            f"{listing.repository} is a LoRA adapter, not a model; pull the merged one "
            "(…-merged), or merge it with peft"
        )
    graphs = {f.path: f for f in listing.files if f.path.endswith(".onnx")}
    if file is not None:
        if file not in graphs:
            raise HubError(f"{listing.repository} has no {file}; it has {_some(graphs)}")
        return (*beside, *_with_data(listing, file))
    if weights in ("auto", "onnx") and graphs:
        for name in ("model_int8.onnx", "model_quantized.onnx", "model.onnx"):
            for path in (name, f"onnx/{name}"):
                if path in graphs:
                    return (*beside, *_with_data(listing, path))
        raise HubError(f"choose one of {listing.repository}'s graphs with --file: {_some(graphs)}")
    tensors = [f for f in listing.files if re.fullmatch(r"model[^/]*\.safetensors", f.path)]
    index = [f for f in listing.files if f.path == "model.safetensors.index.json"]
    if weights == "onnx" or not tensors:
        kinds = ".onnx file" if weights == "onnx" else ".onnx or .safetensors file"
        raise HubError(f"{listing.repository} has no {kinds}; pickled weights are not taken")
    return (*beside, *index, *tensors)


def _right(path: Path, remote: Remote) -> str:
    """The SHA-256 of a file that is what the hub promised, else an empty text."""
    if path.stat().st_size != remote.size:
        return ""
    digest = sha256(path)
    if remote.sha256 is not None:
        return digest if digest == remote.sha256 else ""
    if remote.git is not None:
        blob = hashlib.sha1(b"blob %d\0" % remote.size, usedforsecurity=False)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                blob.update(chunk)
        return digest if blob.hexdigest() == remote.git else ""
    return digest


def _remote(item: Mapping[str, Any]) -> Remote:
    path = str(item["rfilename"])
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or not parts:
        raise HubError(f"the hub lists a file {path!r} outside of its folder")
    large = item.get("lfs")
    if isinstance(large, dict):
        return Remote(path, int(large["size"]), sha256=str(large["sha256"]))
    blob = item.get("blobId")
    return Remote(path, int(item.get("size") or 0), git=str(blob) if blob else None)


def _with_data(listing: Listing, graph: str) -> list[Remote]:
    """A graph and the files that hold its larger tensors: ``model.onnx_data``, ``….data``."""
    return [f for f in listing.files if f.path == graph or _is_data(f.path, graph)]


def _is_data(path: str, graph: str) -> bool:
    return re.fullmatch(re.escape(graph) + r"[._]data(?:_\d+)?", path) is not None


def _some(graphs: Mapping[str, Remote]) -> str:
    return ", ".join(sorted(graphs)[:12]) or "none"


def _meaning(status: int, base: str, repository: str) -> str:
    if status in (401, 403):
        return (
            f"{base} does not show {repository} to us ({status}): it does not exist, or it is "
            "gated; accept its licence on the hub and set HF_TOKEN"
        )
    if status == 404:
        return f"{base} has no {repository}, or not this revision or file (404)"
    if status == 429:
        return f"{base} asks to wait (429); try again later, or set HF_TOKEN"
    return f"{base} answered {status} for {repository}"


def _silent(name: str, have: int, size: int) -> None:
    """Progress that nobody watches."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Hubs redirect to their storage. The key stays (it is an *unredirected* header), and what
    began encrypted goes on encrypted."""

    max_redirections = 5

    def __init__(self, home: str) -> None:
        self._home = home

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        there = urlsplit(newurl)
        if there.scheme != "https" and not (there.scheme == "http" == req.type):
            raise HubError(f"{self._home} redirects to {there.scheme}://{there.netloc}; refused")
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and there.netloc == self._home:
            for name, value in req.unredirected_hdrs.items():
                if name.lower() == "authorization":
                    made.add_unredirected_header(name, value)
        return made
