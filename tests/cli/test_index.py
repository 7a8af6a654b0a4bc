"""``wayside index``: texts to a running router."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.api_rig import listening
from wayside.cli.index import command, passages

CONFIG = "models: {small: {endpoints: [http://127.0.0.1:1]}}"


def run(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(command, list(arguments))
    return found.exit_code, found.output


async def test_a_folder_becomes_passages(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One\n\nText one.\n\n" + "word " * 400, "utf-8")
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    async with listening(None, CONFIG) as api:
        told = await asyncio.to_thread(
            run, str(tmp_path), "--collection", "docs", "--management", api.url, "--size", "500"
        )
        assert told[0] == 0 and "5 passages of 1 file kept in collection docs" in told[1], told
        _, shown = await api.get("/api/v1/passages?collection=docs")
        assert shown["count"] == 5
        assert shown["passages"][0]["metadata"]["source"].endswith("a.md")
        wrong = await asyncio.to_thread(
            run, str(tmp_path), "--store", "nowhere", "--management", api.url
        )
        assert wrong[0] == 1 and "no store 'nowhere'; stores: memory" in wrong[1]


def test_nothing_to_read_and_nobody_there(tmp_path: Path) -> None:
    assert "no file ends in" in run(str(tmp_path))[1]
    (tmp_path / "a.txt").write_text("x", "utf-8")
    code, said = run(str(tmp_path), "--management", "http://127.0.0.1:1")
    assert code == 1 and "no router answers" in said
    assert "is no address" in run(str(tmp_path), "--management", "file:///etc")[1]


@given(st.text(max_size=2000), st.integers(10, 300))
def test_no_word_is_lost_and_no_passage_too_long(text: str, size: int) -> None:
    found = list(passages(text, size))
    assert all(0 < len(p) <= size for p in found)
    assert "".join("".join(found).split()) == "".join(text.split())
