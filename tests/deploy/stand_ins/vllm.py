"""``vllm serve``, played by our simulator: no GPU and no weights, the same API and metrics."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

parser = argparse.ArgumentParser(prog="vllm")
parser.add_argument("verb", choices=["serve"])
parser.add_argument("model")
parser.add_argument("--served-model-name")
parser.add_argument("--host", default="0.0.0.0")
parser.add_argument("--port", default="8000")
given = parser.parse_args()
if not os.environ.get("HF_TOKEN"):
    sys.exit("vllm (stand-in): a gated model's weights need HF_TOKEN")
program = str(Path(sys.executable).with_name("wayside"))
serve = ["sim", "--model", given.served_model_name or given.model, "--itl", "0.001"]
os.execv(program, [program, *serve, "--host", given.host, "--port", given.port])
