"""Fuzz wayside: feed a target mutated inputs until something that must not happen happens.

    scripts/fuzz.py body --seconds 90          # atheris if it is installed, else hypothesis
    scripts/fuzz.py all --engine hypothesis --derandomize

The targets, what they promise and their seeds are in ``tests/fuzz``. Each runs in a process of
its own, one at a time. A finding ends the run with status 1, and its input is left in the work
folder: copy it to ``tests/fuzz/corpus/<target>/`` once it is fixed.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

NAMES = ("body", "headers", "sse", "extproc", "config", "usage", "address", "dialects", "tokens")
LONGEST = {"usage": 6000, "address": 300}
"""Bytes of one input; elsewhere 8192."""


def main() -> int:
    args = _arguments()
    if args.inside:
        _inside(args)
        return 0
    names = NAMES if args.target == "all" else (args.target,)
    engine = args.engine or ("atheris" if importlib.util.find_spec("atheris") else "hypothesis")
    failed = [name for name in names if not _outside(name, engine, args)]
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", choices=[*NAMES, "all"])
    parser.add_argument("--seconds", type=int, default=90, help="per target (default 90)")
    parser.add_argument("--engine", choices=["atheris", "hypothesis"])
    parser.add_argument("--derandomize", action="store_true", help="the same inputs every time")
    parser.add_argument("--work", type=Path, help="where found inputs are kept between runs")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _outside(name: str, engine: str, args: argparse.Namespace) -> bool:
    """Run one target in a process of its own, and say in one line how it went."""
    work = (args.work or Path(tempfile.gettempdir()) / "wayside-fuzz") / name
    (work / "corpus").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, name, "--inside", "--engine", engine]
    command += ["--seconds", str(args.seconds), "--work", str(work)]
    command += ["--derandomize"] if args.derandomize else []
    log = work / "log.txt"
    begun = time.monotonic()
    with log.open("wb") as out:
        status = subprocess.run(
            command, stdout=out, stderr=subprocess.STDOUT, timeout=args.seconds * 3 + 120
        ).returncode
    text = log.read_text("utf-8", "replace")
    took = time.monotonic() - begun
    print(
        f"{name:8} {'ok' if not status else 'FOUND'}  {took:.0f} s  {_summary(text)}", flush=True
    )
    if status:
        lines = [line for line in text.splitlines() if not line.startswith(("#", "0x", "Base64"))]
        print("\n".join(line[:2000] for line in lines[-60:]))
        print(f"the whole log: {log}")
    return not status


def _summary(text: str) -> str:
    """Executions and coverage, from what libFuzzer or we have written."""
    said = re.findall(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)/", text, re.MULTILINE)
    done = re.search(r"Done (\d+) runs in (\d+) second", text)
    ours = re.search(r"^ran (\d+) .*", text, re.MULTILINE)
    if ours:
        return ours[0]
    if not said:
        return ""
    runs, cov, features, corpus = said[-1]
    rate = ""
    if done:
        runs = done[1]
        rate = f"{int(done[1]) / max(1, int(done[2])):.0f}/s, "
    return f"{runs} runs, {rate}{cov} edges, {features} features, {corpus} inputs kept"


def _inside(args: argparse.Namespace) -> None:
    if args.engine == "atheris":
        _atheris(args.target, args.seconds, args.work, derandomize=args.derandomize)
    else:
        _hypothesis(args.target, args.seconds, args.work, derandomize=args.derandomize)


def _atheris(name: str, seconds: int, work: Path, *, derandomize: bool) -> None:
    """libFuzzer, guided by the coverage of our own modules."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

    with atheris.instrument_imports(include=["wayside"], enable_loader_override=False):
        from tests.fuzz import targets

        run = targets.load(name)
    words = work / "words.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in targets.words(name)))
    (work / "seeds").mkdir(exist_ok=True)
    for i, seed in enumerate(targets.seeds(name)):
        (work / "seeds" / str(i)).write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0],
            str(work / "corpus"),
            str(work / "seeds"),
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST.get(name, 8192)}",
            f"-dict={words}",
            f"-artifact_prefix={work}/",
            "-timeout=20",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
            *(["-seed=1"] if derandomize else []),
        ],
        run,
    )
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    plain = set(range(0x20, 0x7F)) - {0x22, 0x5C}
    return "".join(chr(b) if b in plain else f"\\x{b:02x}" for b in word)


def _hypothesis(name: str, seconds: int, work: Path, *, derandomize: bool) -> None:
    """Seeds, cut up and put together anew. Stops at the first finding, made small."""
    from hypothesis import HealthCheck, Phase, given, settings
    from tests.fuzz import targets
    from tests.fuzz.mutate import inputs

    run = targets.load(name)
    for seed in targets.seeds(name):
        run(seed)
    until = time.monotonic() + seconds
    ran = 0
    last = b""

    @settings(
        max_examples=2_000,
        deadline=None,
        database=None,
        derandomize=derandomize,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(name))
    def once(data: bytes) -> None:
        nonlocal ran, last
        ran += 1
        last = data
        run(data)

    try:
        while True:
            once()
            if derandomize or time.monotonic() > until:
                break
    except (Exception, targets.Hang):
        (work / "crash-hypothesis").write_bytes(last)
        raise
    print(f"ran {ran} inputs without a finding")


if __name__ == "__main__":
    sys.exit(main())
