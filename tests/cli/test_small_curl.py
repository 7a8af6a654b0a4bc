"""What our image has under the name of curl."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from wayside.cli.small_curl import command
from wayside.sim import SimModel, serve_sim

ROOT = Path(__file__).parents[2]


def curl(*argv: str) -> subprocess.CompletedProcess[str]:
    """Under its name, as the image has it."""
    code = "import sys; sys.argv[0] = '/opt/wayside/bin/curl'; import wayside.cli as c; c.main()"
    return subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True)


async def test_it_asks_once_and_prints_the_answer() -> None:
    """A0-18, A0-20."""
    async with serve_sim([SimModel("Model-A")]) as (sim,):
        done = await asyncio.to_thread(curl, "-s", f"{sim.url}/v1/models")
        assert done.returncode == 0 and '"Model-A"' in done.stdout
        done = await asyncio.to_thread(curl, "-sf", f"{sim.url}/nowhere")
        assert done.returncode == 22 and not done.stdout and not done.stderr
        done = await asyncio.to_thread(curl, "-i", f"{sim.url}/nowhere")
        assert done.returncode == 0 and done.stdout.startswith("HTTP/1.1 404")


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("http://127.0.0.1:1/",), 7),
        (("http://no-such-host.invalid/",), 6),
        (("file:///etc/passwd",), 2),
        (("--upload-file", "x", "http://127.0.0.1:1/"), 2),
    ],
)
def test_it_says_what_went_wrong_as_curl_does(argv: tuple[str, ...], status: int) -> None:
    done = CliRunner().invoke(command, argv)
    assert done.exit_code == status and done.output


def test_the_image_has_it() -> None:
    """A0-18: `oc exec ... -- curl` finds it on the PATH."""
    text = (ROOT / "deploy" / "images" / "Containerfile").read_text()
    assert "/opt/wayside/bin/wayside /opt/wayside/bin/curl" in text
