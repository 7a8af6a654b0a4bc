"""Which tier somebody is in, and which models a tier may use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from wayside.maas import names
from wayside.settings.maas import MaasSettings, TierSettings
from wayside.settings.model import ModelSettings
from wayside.vocab.errors import ConfigError

MAX_BYTES: Final = 1 << 20
"""Of a ConfigMap."""
MAX_TIERS: Final = 100
MOST_DEEP: Final = 10
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class Tiers:
    """The tiers in force: those of the settings, or of the file that they name."""

    def __init__(self, settings: MaasSettings) -> None:
        """Raises :class:`ConfigError` for a file that cannot be used."""
        self._instance = settings.instance
        self._settings = settings.tiers
        self._path = Path(settings.tiers_file) if settings.tiers_file else None
        self._seen: object = None
        self._problem = ""
        self.all: tuple[TierSettings, ...] = ()
        if self._path is None:
            self._adopt(settings.tiers)
        else:
            self._seen = _stamp(self._path)
            self._adopt(self._read())

    def lookup(self, groups: Iterable[str]) -> TierSettings | None:
        """The tier with the highest level that has one of ``groups``, of several such the one
        that is written first. Each tier also has the group of its own ServiceAccounts."""
        found = set(groups)
        for tier, members in self._ordered:
            if not members.isdisjoint(found):
                return tier
        return None

    def refresh(self, warn: Callable[[str], None]) -> bool:
        """Read a changed file again; whether other tiers are in force now. A file that cannot be
        used changes nothing, and ``warn`` is told once."""
        if self._path is None:
            return False
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return False
        try:
            tiers = self._read()
        except ConfigError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                warn(self._problem)
            return False
        self._seen, self._problem = stamp, ""
        if tiers == self.all:
            return False
        self._adopt(tiers)
        return True

    def _adopt(self, tiers: tuple[TierSettings, ...]) -> None:
        for tier in tiers:
            space = names.namespace(self._instance, tier.name)
            if len(space) > names.MOST:
                raise ConfigError.one(
                    f"its namespace {space!r} is longer than {names.MOST} characters",
                    where=f"maas.tiers.{tier.name}",
                    fix="give maas.instance or the tier a shorter name",
                )
        self.all = tiers
        own = names.GROUP
        self._ordered = [
            (tier, {*tier.groups, f"{own}:{names.namespace(self._instance, tier.name)}"})
            for tier in sorted(tiers, key=lambda tier: -tier.level)
        ]

    def _read(self) -> tuple[TierSettings, ...]:
        assert self._path is not None
        limits = {tier.name: tier for tier in self._settings}
        try:
            with self._path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
            if len(raw) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
            return read_tiers(_document(raw), limits)
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            why = " ".join(str(getattr(error, "strerror", None) or error).split())[:300]
            raise ConfigError.one(
                f"cannot use {self._path}: {why}",
                where="maas.tiers_file",
                fix="give it the text of the key `tiers` of the ConfigMap tier-to-group-mapping",
            ) from None


def _document(raw: bytes) -> Any:
    """By libyaml, as every request waits meanwhile; which has no end of its own to nesting."""
    depth = 0
    for event in yaml.parse(raw, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEEP:
            raise ValueError("nested too deep to be a list of tiers")
    return yaml.load(raw, Loader=yaml.CSafeLoader)


def read_tiers(found: Any, known: Mapping[str, TierSettings]) -> tuple[TierSettings, ...]:
    """Tiers as the ConfigMap ``tier-to-group-mapping`` writes them, with the limits of those of
    the same name in ``known``. Raises ``ValueError`` that says which entry is wrong, and why."""
    if not isinstance(found, list):
        raise ValueError("a list of tiers is wanted")  # noqa: TRY004
    if not 1 <= len(found) <= MAX_TIERS:
        raise ValueError(f"from 1 to {MAX_TIERS} tiers are wanted, not {len(found)}")
    tiers: dict[str, TierSettings] = {}
    for i, entry in enumerate(found):
        at = f"tiers[{i}]"
        if not isinstance(entry, dict):
            raise ValueError(f"{at} is no mapping")  # noqa: TRY004
        unknown = entry.keys() - _FIELDS
        if unknown:
            raise ValueError(f"{at}: unknown {sorted(map(str, unknown))}; it has {list(_FIELDS)}")
        name, groups, level = entry.get("name"), entry.get("groups") or [], entry.get("level", 0)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{at}.name: a-z, 0-9 and -, 32 characters at most, is wanted")
        if name in tiers:
            raise ValueError(f"{at}.name: {name!r} is there twice")
        if isinstance(level, bool) or not isinstance(level, int):
            raise ValueError(f"{at}.level: a whole number is wanted")  # noqa: TRY004
        if not isinstance(groups, list) or not all(isinstance(g, str) and g for g in groups):
            raise ValueError(f"{at}.groups: a list of names is wanted")
        words = {}
        for key, field in (("displayName", "display_name"), ("description", "description")):
            said = entry.get(key)
            if said is not None and not (isinstance(said, str) and said.strip()):
                raise ValueError(f"{at}.{key}: is blank; leave it out")
            words[field] = said or ""
        base = known.get(name) or TierSettings(name=name)
        new = {"level": level, "groups": tuple(groups), **words}
        tiers[name] = base.model_copy(update=new)
    return tuple(tiers.values())


_FIELDS: Final = ("name", "displayName", "description", "level", "groups")


def allowed(models: Mapping[str, ModelSettings], tier: str) -> frozenset[str]:
    """The configured models that may answer a tier: ``tiers`` absent is nobody's, ``[]`` is
    everybody's who has a tier, a list names those."""
    return frozenset(
        name
        for name, model in models.items()
        if tier and model.tiers is not None and (not model.tiers or tier in model.tiers)
    )


def _stamp(path: Path) -> object:
    try:
        about = path.stat()
    except OSError:
        return "absent"
    return about.st_mtime_ns, about.st_ino, about.st_size
