"""Tokens that this router makes itself: those of a ServiceAccount to the letter, signed with keys
of our own. Gateways that verify tokens find the public halves at ``/.well-known/jwks.json``."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from wayside.maas import names
from wayside.maas.claims import check, text
from wayside.maas.jose import OURS, BadToken, SigningKey, generate, head, verified
from wayside.vocab.errors import ConfigError

LIVE: Final = 2
"""Keys that are believed: the one that signs, and the one that signed before it."""
FILE: Final = "signing-keys.json"
EARLY_S: Final = 30.0
"""By so much the clock of the router that made a token may be ahead of ours."""
LOOK_S: Final = 1.0
"""How often the file is looked at for a key that another process made."""


class Minted(NamedTuple):
    """A token, and what its answer says of it; times in seconds since 1970."""

    token: str
    issued_at: int
    expires_at: int
    jti: str


class Account(NamedTuple):
    """Whose a token says it is: the ServiceAccount of somebody in a tier. ``uid`` is another one
    after each revocation."""

    space: str
    name: str
    uid: str
    jti: str
    ends: float


class Issuer:
    """Signs and verifies. The keys are in ``folder``, for every process that uses it."""

    def __init__(
        self, folder: Path, instance: str, clock: Callable[[], float] = time.time
    ) -> None:
        """Makes the first key. Raises :class:`ConfigError`."""
        self._folder, self._clock = folder, clock
        self.issuer = f"wayside/{instance}"
        self.audience = names.audience(instance)
        self._stamp: object = None
        self._looked = float("-inf")
        self._keys: dict[str, SigningKey] = {}
        if not (folder / FILE).exists():
            add_key(folder, only_first=True)
        self._load()

    def mint(self, space: str, name: str, uid: str, seconds: int) -> Minted:
        """A token of the ServiceAccount ``name`` in ``space``."""
        self._look()
        now = int(self._clock())
        jti = secrets.token_hex(16)
        claims = {
            "aud": [self.audience],
            "exp": now + seconds,
            "iat": now,
            "iss": self.issuer,
            "jti": jti,
            "kubernetes.io": {"namespace": space, "serviceaccount": {"name": name, "uid": uid}},
            "nbf": now,
            "sub": names.subject(space, name),
        }
        newest = next(iter(self._keys.values()))
        return Minted(newest.sign(claims), now, now + seconds, jti)

    def ours(self, token: str) -> bool:
        """Whether ``token`` names one of our keys; nothing is proven by that."""
        try:
            return head(token).get("kid") in self._known(token)
        except BadToken:
            return False

    def verify(self, token: str) -> Account:
        """Raises :class:`BadToken`."""
        kid = head(token).get("kid")
        key = self._known(token).get(kid) if isinstance(kid, str) else None
        if key is None:
            raise BadToken("signed with a key that is not ours")
        claims = verified(token, key.public, OURS)
        ends = check(
            claims,
            issuer=self.issuer,
            audience=self.audience,
            now=self._clock(),
            early_s=EARLY_S,
        )
        space = text(claims, "kubernetes.io", "namespace")
        name = text(claims, "kubernetes.io", "serviceaccount", "name")
        if claims.get("sub") != names.subject(space, name):
            raise BadToken("sub is another's")
        uid = text(claims, "kubernetes.io", "serviceaccount", "uid")
        return Account(space, name, uid, text(claims, "jti"), ends)

    def jwks(self) -> dict[str, Any]:
        """The public halves (RFC 7517)."""
        self._look()
        return {"keys": [key.jwk for key in self._keys.values()]}

    def _known(self, token: str) -> dict[str, SigningKey]:
        self._look()
        return self._keys

    def _look(self) -> None:
        """Take up keys that were made since, by whichever process."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        if _stamp(self._folder / FILE) != self._stamp:
            try:
                self._load()
            except ConfigError:
                return  # half of something: the keys that are known stay

    def _load(self) -> None:
        path = self._folder / FILE
        self._stamp = _stamp(path)
        self._keys = {key["kid"]: SigningKey(key["kid"], key["pem"]) for key in _read(path)}


def add_key(folder: Path, *, only_first: bool = False) -> tuple[str, list[str]]:
    """Make a key that signs from now on; the one before it is still believed, older ones no
    more. ``only_first``: nothing where there is one already. Gives the names of the key that signs
    and of those that are gone. Raises :class:`ConfigError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(folder):
            path = folder / FILE
            found = _read(path) if path.exists() else []
            if found and only_first:
                return found[0]["kid"], []
            kid, pem = generate()
            made = str(int(time.time()))
            keys = [{"kid": kid, "made": made, "pem": pem}, *found]
            _write(path, {"keys": keys[:LIVE]})
            return kid, [key["kid"] for key in keys[LIVE:]]
    except OSError as error:
        raise ConfigError.one(
            f"cannot keep signing keys in {folder}: {error.strerror or error}",
            where="maas.folder",
            fix="name a folder that this process may write to",
        ) from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, body: Any) -> None:
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(body, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _read(path: Path) -> list[dict[str, str]]:
    try:
        if path.stat().st_mode & 0o007:
            raise ValueError("everybody on this machine may read or write it")
        found = json.loads(path.read_bytes())["keys"]
        if not found:
            raise ValueError("there is no key in it")
        for key in found:
            SigningKey(key["kid"], key["pem"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConfigError.one(
            f"cannot use {path}: {why}",
            where="maas.folder",
            fix="chmod 600 it; without the file a new key is made, and older tokens are void",
        ) from None  # the cause may quote a key
    return list(found)


def _stamp(path: Path) -> object:
    try:
        about = path.stat()
    except OSError:
        return "absent"
    return about.st_mtime_ns, about.st_ino
