"""Who is logged in: tokens are kept as hashes, sessions in memory, and both are bounded."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wayside.console.audit import private
from wayside.console.inside import Who
from wayside.gateway.api import Role
from wayside.runtime.keys import KeyRing
from wayside.settings import CredentialSettings
from wayside.settings.console import ConsoleSettings, ConsoleTokenSettings
from wayside.vocab.errors import ConfigError
from wayside.vocab.outcome import Credential

RANKS: Final[dict[Role, int]] = {"viewer": 0, "operator": 1, "admin": 2}
SHORTEST: Final = 16
"""Characters of a token that somebody chose."""
LONGEST: Final = 4096
TOKEN_FILE: Final = "token.json"
WINDOW_S: Final = 60.0
OF_ONE: Final = 10
"""Failed logins that one address may have in a window, and"""
OF_ALL: Final = 200
"""all of them together."""
_ADDRESSES: Final = 1000


def hashed(token: str) -> str:
    """What is kept of a token: it is long and random, so that nothing slower is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Session:
    """A login, until ``ends`` (of a steady clock). ``by`` is the hash of the token it was made
    with; empty for one by an identity provider."""

    who: Who
    csrf: str
    ends: float
    by: str


class Tokens:
    """The tokens that may log in: of this run, of the folder, of the settings."""

    def __init__(self, settings: ConsoleSettings, folder: Path, keys: KeyRing) -> None:
        """Raises :class:`ConfigError` for a token that is not there, or too short."""
        self._file = folder / TOKEN_FILE
        self._stamp: tuple[int, ...] = ()
        self._of_folder = ""
        self._of_run: set[str] = set()
        self._configured = [
            (Who(token.name, token.role), _held(token, i, keys))
            for i, token in enumerate(settings.tokens)
        ]

    def fresh(self) -> str:
        """A token of this run; only its hash is kept here."""
        token = secrets.token_urlsafe(32)
        self._of_run.add(hashed(token))
        return token

    def find(self, token: str) -> tuple[Who, str] | None:
        """Whose token it is, and its hash."""
        if not 0 < len(token) <= LONGEST:
            return None
        asked = hashed(token)
        found = self._find(asked)
        return None if found is None else (found, asked)

    def holds(self, by: str) -> bool:
        """Whether the token of this hash still logs in."""
        return self._find(by) is not None

    def _find(self, asked: str) -> Who | None:
        """Every token is compared, each in the same time."""
        found = None
        for who, known in self._known():
            if hmac.compare_digest(known, asked):
                found = who
        return found

    def _known(self) -> Iterable[tuple[Who, str]]:
        for known in self._of_run:
            yield Who("admin", "admin"), known
        of_folder = self._read()
        if of_folder:
            yield Who("admin", "admin"), of_folder
        for who, held in self._configured:
            if len(held.value) >= SHORTEST:
                yield who, hashed(held.value)

    def _read(self) -> str:
        """The hash that ``wayside console token --rotate`` wrote, perhaps just now."""
        try:
            found = self._file.stat()
            stamp = (found.st_ino, found.st_mtime_ns)
            if stamp != self._stamp:
                said = json.loads(self._file.read_bytes()[:LONGEST])
                self._stamp, self._of_folder = stamp, str(said["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            self._stamp, self._of_folder = (), ""
        return self._of_folder


def _held(token: ConsoleTokenSettings, i: int, keys: KeyRing) -> Credential:
    where = f"management.console.tokens[{i}].token"
    source = CredentialSettings(env=token.token.env, file=token.token.file, prefix="")
    held = keys.resolve(source, where)
    if len(held.value) < SHORTEST:
        raise ConfigError.one(
            f"is shorter than {SHORTEST} characters",
            where=where,
            fix="make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return held


def rotated(folder: Path) -> str:
    """A new token of the folder, in the place of what was there. Raises ``OSError``."""
    token = secrets.token_urlsafe(32)
    private(folder)
    beside = folder / f"{TOKEN_FILE}.new"
    beside.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(beside, flags, 0o600), "w") as file:
        json.dump({"sha256": hashed(token), "made": int(time.time())}, file)
    beside.replace(folder / TOKEN_FILE)
    return token


def made_at(folder: Path) -> float | None:
    """When the folder's token was made; ``None`` where there is none."""
    try:
        return float(json.loads((folder / TOKEN_FILE).read_bytes()[:LONGEST])["made"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Sessions:
    """Logins by the hash of what their browser holds."""

    def __init__(
        self,
        most: int,
        lasts_s: float,
        holds: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``holds`` says whether a token of that hash is still good: one that was taken away ends
        the sessions it began."""
        self._most, self._lasts, self._holds, self._clock = most, lasts_s, holds, clock
        self._held: OrderedDict[str, Session] = OrderedDict()

    def begin(self, who: Who, by: str = "") -> tuple[str, Session]:
        """A new one: what the browser is to hold, and the session. The oldest ends if there are
        too many."""
        while len(self._held) >= self._most:
            self._held.popitem(last=False)
        key = secrets.token_urlsafe(32)
        session = Session(who, secrets.token_urlsafe(24), self._clock() + self._lasts, by)
        self._held[hashed(key)] = session
        return key, session

    def find(self, key: str) -> Session | None:
        if not 0 < len(key) <= LONGEST:
            return None
        held = self._held.get(hashed(key))
        if held is None:
            return None
        if held.ends <= self._clock() or (held.by and not self._holds(held.by)):
            self.end(key)
            return None
        return held

    def end(self, key: str) -> None:
        self._held.pop(hashed(key), None)

    def __len__(self) -> int:
        return len(self._held)


class Attempts:
    """Failed logins of the last minute, by address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all: deque[float] = deque(maxlen=OF_ALL)
        self._by: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long this address has to wait before it may try; 0 where it need not."""
        return max(
            self._left(self._all, OF_ALL), self._left(self._by.get(address, deque()), OF_ONE)
        )

    def failed(self, address: str) -> None:
        now = self._clock()
        self._all.append(now)
        of_one = self._by.setdefault(address, deque(maxlen=OF_ONE))
        of_one.append(now)
        self._by.move_to_end(address)
        while len(self._by) > _ADDRESSES:
            self._by.popitem(last=False)

    def _left(self, times: deque[float], most: int) -> float:
        if len(times) < most:
            return 0.0
        return max(0.0, times[0] + WINDOW_S - self._clock())
