"""Who may get a token: whoever proves to be somebody, by a token of the settings, of an identity
provider, or of a Kubernetes cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from wayside.maas.keys import Person
from wayside.maas.names import AUTHENTICATED
from wayside.settings.maas import MaasSettings, SecretSource, UserSettings
from wayside.vocab.errors import ConfigError, Problem

SOURCE: Final = "users"
CONSOLE: Final = "console"
"""The source of programs, whose keys an administrator made."""
MADE_HERE: Final = "program:"
"""What their names begin with, and nobody's else."""
SHORTEST: Final = 16
"""Characters of a token in the settings: one that is shorter can be guessed."""
MAX_BYTES: Final = 8192


class People(Protocol):
    """One way to know somebody."""

    async def find(self, token: str) -> Person | None:
        """``None`` for a token that is not believed. Raises :class:`AskFailed` where nobody can
        say."""
        ...


class Users:
    """Those of the settings. Their files are read again when they change."""

    def __init__(self, settings: MaasSettings, env: Mapping[str, str]) -> None:
        """Raises :class:`ConfigError`: a token cannot be read, is too short, or two have it."""
        self._env = env
        self._users = settings.users
        self._stamps: dict[str, object] = {}
        self._digests: dict[str, bytes] = {}
        self._of: dict[bytes, Person] = {}
        self.persons = {user.name: person_of(user) for user in self._users}
        problems = []
        for i, user in enumerate(self._users):
            try:
                self._digests[user.name] = self._read(user)
            except ValueError as error:
                problems.append(
                    Problem(str(error), f"maas.users[{i}].token", "make one: openssl rand -hex 24")
                )
        if not problems and len(set(self._digests.values())) < len(self._digests):
            problems.append(Problem("two users have the same token", "maas.users", "make another"))
        if problems:
            raise ConfigError(problems)
        self._index()

    async def find(self, token: str) -> Person | None:
        """Found by its digest, so that the time it takes says nothing about any token."""
        return self._of.get(_digest(token))

    def refresh(self) -> list[str]:
        """Read files that changed again; the names of those whose token is another one. A file
        that cannot be used keeps the last token, as a mounted Secret is swapped in two steps."""
        changed = []
        for user in self._users:
            if user.token.file is None or _stamp(user) == self._stamps.get(user.name):
                continue
            try:
                digest = self._read(user)
            except ValueError:
                continue
            others = [d for name, d in self._digests.items() if name != user.name]
            if digest != self._digests[user.name] and digest not in others:
                self._digests[user.name] = digest
                changed.append(user.name)
        if changed:
            self._index()
        return changed

    def _index(self) -> None:
        self._of = {digest: self.persons[name] for name, digest in self._digests.items()}

    def _read(self, user: UserSettings) -> bytes:
        self._stamps[user.name] = _stamp(user)
        text = secret(user.token, self._env)
        if len(text) < SHORTEST or not (text.isascii() and text.isprintable() and " " not in text):
            raise ValueError(f"a token of at least {SHORTEST} visible ASCII characters is wanted")
        return _digest(text)


def person_of(user: UserSettings) -> Person:
    groups = dict.fromkeys((*user.groups, AUTHENTICATED))
    return Person(user.name, tuple(groups), SOURCE)


def secret(source: SecretSource, env: Mapping[str, str]) -> str:
    """What is there now. Raises ``ValueError`` that says where nothing is."""
    if source.env is not None:
        text, where = env.get(source.env, ""), f"the variable {source.env}"
    else:
        path = Path(source.file or "")
        where = f"the file {path}"
        try:
            with path.open("rb") as file:
                text = file.read(MAX_BYTES).decode("utf-8", "replace")
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if not text.strip():
        raise ValueError(f"{where} is empty or not set")
    return text.strip()


def is_here(source: SecretSource, env: Mapping[str, str]) -> bool:
    """Whether there is anything, good or not."""
    if source.env is not None:
        return bool(env.get(source.env))
    return Path(source.file or "").exists()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _stamp(user: UserSettings) -> object:
    try:
        about = Path(user.token.file or "").stat()
    except OSError:
        return "absent"
    return about.st_mtime_ns, about.st_ino, about.st_size
