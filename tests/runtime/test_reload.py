"""Watching the configuration: every way a file changes, and none that it does not."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from wayside.runtime.reload import ConfigState, Watcher, digest
from wayside.vocab.errors import ConfigError


class Watch:
    """A watcher of ``path`` and what it did; the text ``bad`` is refused, ``bug`` is a bug."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.applied: list[str] = []
        self.refused: list[str] = []
        self.watcher = Watcher(
            path,
            self._prepare,
            self.applied.append,
            lambda error: self.refused.append(str(error)),
            interval_s=0.001,
        )

    def _prepare(self, text: bytes) -> str:
        if text == b"bad":
            raise ConfigError.one("not good")
        if text == b"bug":
            raise KeyError("oops")
        return text.decode()

    def look(self) -> list[str]:
        """What one look applies."""
        before = len(self.applied)
        self.watcher.look()
        return self.applied[before:]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    path = tmp_path / "config.yaml"
    path.write_text("one")
    return Watch(path)


def rewrite(path: Path, text: str) -> None:
    """Write, with a time that differs from the last on any file system."""
    path.write_text(text)
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 10_000_000))


def test_what_is_there_at_the_start_is_not_applied_again(watch: Watch) -> None:
    assert watch.look() == []


def test_a_plain_write_is_seen_once(watch: Watch) -> None:
    rewrite(watch.path, "two")
    assert watch.look() == ["two"]
    assert watch.look() == []


def test_an_editors_rename_is_seen(watch: Watch) -> None:
    fresh = watch.path.with_suffix(".swp")
    fresh.write_text("two")
    fresh.replace(watch.path)
    assert watch.look() == ["two"]


def test_a_touch_changes_nothing(watch: Watch) -> None:
    os.utime(watch.path, ns=(1, 1))
    assert watch.look() == []


def test_the_same_text_in_another_file_changes_nothing(watch: Watch) -> None:
    fresh = watch.path.with_suffix(".new")
    fresh.write_text("one")
    fresh.replace(watch.path)
    assert watch.look() == []


def test_a_file_that_goes_and_comes_back_is_waited_for(watch: Watch) -> None:
    watch.path.unlink()
    assert watch.look() == []
    assert watch.look() == []
    watch.path.write_text("one")
    assert watch.look() == []
    watch.path.unlink()
    assert watch.look() == []
    watch.path.write_text("two")
    assert watch.look() == ["two"]
    assert watch.refused == []


def test_a_configmaps_symlink_swap_is_seen(tmp_path: Path) -> None:
    for stamp, text in (("..2026_1", "one"), ("..2026_2", "two"), ("..2026_3", "two")):
        (tmp_path / stamp).mkdir()
        (tmp_path / stamp / "config.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..2026_1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    watch = Watch(tmp_path / "config.yaml")

    def swap(stamp: str) -> None:
        (tmp_path / "..data_tmp").symlink_to(stamp)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    swap("..2026_2")
    assert watch.look() == ["two"]
    swap("..2026_3")  # another object, the same text
    assert watch.look() == []
    swap("..2026_1")
    assert watch.look() == ["one"]


def test_a_bad_file_is_refused_once_and_the_next_good_one_applied(watch: Watch) -> None:
    rewrite(watch.path, "bad")
    assert watch.look() == []
    assert watch.look() == []
    assert watch.refused == ["not good"]
    rewrite(watch.path, "one")  # back to what was in force: told, so that the error clears
    assert watch.look() == ["one"]


def test_a_bug_is_refused_too_and_the_watch_goes_on(watch: Watch) -> None:
    rewrite(watch.path, "bug")
    assert watch.look() == []
    assert watch.refused == ["KeyError while applying: 'oops'"]
    rewrite(watch.path, "two")
    assert watch.look() == ["two"]


def test_a_file_that_is_not_there_yet_is_applied_when_it_comes(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "config.yaml")
    assert watch.look() == []
    watch.path.write_text("one")
    assert watch.look() == ["one"]


async def test_the_watch_looks_by_itself(watch: Watch) -> None:
    seen = asyncio.Event()
    adopt = watch.watcher._adopt

    def adopted(text: str) -> None:
        adopt(text)
        seen.set()

    watch.watcher._adopt = adopted
    running = asyncio.ensure_future(watch.watcher.run())
    rewrite(watch.path, "two")
    await asyncio.wait_for(seen.wait(), 10)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert watch.applied == ["two"]


def test_the_state_says_what_is_in_force_and_what_was_refused() -> None:
    state = ConfigState(path="config.yaml")
    state.accepted(b"one", ("a note",), ())
    assert (state.generation, state.digest, state.error) == (1, digest(b"one"), "")
    assert state.loaded_at > 0
    state.refuse(ConfigError.one("not good", where="models"))
    assert (state.generation, state.error, state.refused) == (1, "models: not good", 1)
    assert state.digest == digest(b"one")
    state.accepted(b"two", (), ("listen",))
    assert (state.generation, state.error, state.refused) == (2, "", 1)
    assert state.needs_restart == ("listen",)


def test_again_is_about_what_was_read_last(tmp_path: Path) -> None:
    """What is laid over a file has changed: also where the file is gone, or there was none."""
    path = tmp_path / "c.yaml"
    path.write_bytes(b"one")
    for at, last in ((path, b"one"), (None, b"said")):
        taken: list[bytes] = []
        watcher = Watcher(at, lambda text: text, taken.append, lambda error: None, seen=last)
        watcher.look()
        assert taken == []
        watcher.again()
        watcher.look()
        watcher.look()
        assert taken == [last]
        path.unlink(missing_ok=True)
        watcher.again()
        watcher.look()
        assert taken == [last, last]
