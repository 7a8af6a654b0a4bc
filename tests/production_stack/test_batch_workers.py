"""Batches of several workers, and of workers that die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from pathlib import Path

import openai
from openai import OpenAI

from tests.production_stack.processes import Process, eventually, started
from tests.production_stack.test_batches import asked
from tests.production_stack.test_routing import servers


def children(process: Process) -> list[int]:
    pid = process.process.pid
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def test_a_batch_outlives_the_worker_that_works_on_it(tmp_path: Path) -> None:
    """It is killed without a word, and the other one goes on at once."""
    with servers(1, "small") as (url,):
        config = tmp_path / "wayside.json"
        config.write_text(
            json.dumps(
                {
                    "listen": {"port": 0},
                    "management": {"port": 0},
                    "models": {"small": {"endpoints": [url], "queue": {"max_in_flight": 2}}},
                    "batches": {
                        "enabled": True,
                        "folder": str(tmp_path / "batches"),
                        "concurrency": 2,
                    },
                }
            )
        )
        words = ["serve", "--workers", "2", "--config", str(config)]
        with started(tmp_path, *words) as process:
            workers = eventually(lambda: found if len(found := children(process)) == 2 else None)
            parent = eventually(lambda: [e for e in process.events("serving") if "workers" in e])
            process.url = parent[0]["url"]
            with OpenAI(base_url=process.url, api_key="k", max_retries=5) as ai:
                file = ai.files.create(file=("in.jsonl", asked(800)), purpose="batch")
                batch = ai.batches.create(
                    input_file_id=file.id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                )
                eventually(lambda: answered(ai, batch.id) > 20)
                owner = holder(tmp_path / "batches", workers)
                os.kill(owner, signal.SIGKILL)
                done = eventually(
                    lambda: (
                        found
                        if (found := look(ai, batch.id)) and found.status == "completed"
                        else None
                    ),
                    90,
                )
                assert done.request_counts.completed == 800
                lines = ai.files.content(done.output_file_id).text.splitlines()
                ids = [json.loads(line)["custom_id"] for line in lines]
                assert ids == [f"r{i}" for i in range(800)]


def look(ai: OpenAI, id: str) -> openai.types.Batch | None:
    try:
        return ai.batches.retrieve(id)
    except openai.APIConnectionError:  # it was asked of the worker that died
        return None


def answered(ai: OpenAI, id: str) -> int:
    batch = ai.batches.retrieve(id)
    assert batch.status in ("validating", "in_progress"), batch
    assert batch.request_counts is not None
    return batch.request_counts.completed


def holder(folder: Path, workers: list[int]) -> int:
    """Which process works on the only batch, by the lock that it holds."""

    with contextlib.closing(sqlite3.connect(folder / "batches.db")) as db:
        (name,) = db.execute("SELECT worker FROM batches").fetchone()
    lock = (folder / f"{name}.lock").resolve()
    for pid in workers:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if descriptor.resolve() == lock:
                return pid
    raise AssertionError(f"nobody holds {lock}")
