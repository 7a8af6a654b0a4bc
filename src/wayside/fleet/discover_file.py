"""A file that lists servers; read again when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from wayside.fleet.sources import Tell, Warn
from wayside.settings.model import EndpointSettings

LOOK_S: Final = 1.0
MOST_BYTES: Final = 4 << 20
MOST_DEEP: Final = 8
_LIST: Final = TypeAdapter(tuple[EndpointSettings, ...])


class FileSource:
    """A YAML or JSON list of URLs, or of mappings as `endpoints` has them.

    The content is compared, so an editor's rename and a ConfigMap's symlink swap are seen, and a
    touch changes nothing. A change counts once two looks in a row have found the same.
    ``base_path`` is that of the model's other servers: requests are written for one path.
    """

    def __init__(self, path: str, base_path: str = "/v1", look_s: float = LOOK_S) -> None:
        self._path, self._base_path, self._look_s = Path(path), base_path, look_s
        self._seen: bytes | None = None
        """What was there at the last look, and ``_taken``: of which something was made."""
        self._taken: bytes | None = None
        self._problem = ""

    async def follow(self, tell: Tell, warn: Warn) -> None:
        while True:
            pause = self._look_s
            try:
                before, self._seen = self._seen, await asyncio.to_thread(self._content)
                if self._seen == self._taken:
                    pass
                elif before in (None, self._seen):
                    self._taken = self._seen
                    await self._take(self._seen, tell)
                else:  # somebody may be writing it at this moment: half a list is a list
                    pause /= 4
                warn(self._problem)
            except ValueError as error:
                warn(f"{self._path}: {error}")
            except OSError as error:
                warn(f"cannot read {self._path}: {error.strerror or error}")
            await asyncio.sleep(pause)

    async def _take(self, content: bytes, tell: Tell) -> None:
        """What is wrong is read once, however large it is, and stays wrong until it changes."""
        try:
            endpoints = await asyncio.to_thread(self._parsed, content)
        except ValueError as error:
            self._problem = f"{self._path}: {error}"
        else:
            self._problem = ""
            tell(endpoints)

    def _content(self) -> bytes:
        if self._path.exists() and not (self._path.is_file() or self._path.is_dir()):
            raise ValueError("a pipe or a device, where a file should be")
        with self._path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        return content

    def _parsed(self, content: bytes) -> Sequence[EndpointSettings]:
        """Raises ``ValueError`` with what is wrong and where."""
        document = _document(content)
        if not isinstance(document, list):
            raise ValueError("not a list; write one URL per line, with a dash before it")  # noqa: TRY004
        try:
            found = _LIST.validate_python(document)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"[{where}]: {first['msg'].removeprefix('Value error, ')}") from None
        base = self._base_path
        for i, endpoint in enumerate(found):
            path = endpoint.address.base_path or "/v1"
            if path != base:
                raise ValueError(f"[{i}]: the model's servers are under {base}, not {path}")
        return found


def _document(content: bytes) -> Any:
    """What is in the file. Aliases are refused: a few lines of them can stand for gigabytes."""
    depth = 0
    try:
        for event in yaml.parse(content, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(  # noqa: TRY004
                    "aliases (*) are not read here; write them out"
                )
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_DEEP:
                raise ValueError("nested too deep to be a list of endpoints")
        return yaml.load(content, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(f"not YAML or JSON: {' '.join(str(error).split())[:200]}") from None
