"""Writes the generated files of the corpora that are written as text: `python corpora/make.py`.

Name families to make only those; `--check` writes nothing and fails when a file is stale. How the
text files are read is told in `grammar.py`; `domain` and `near_miss` have their own
`make.py`, because their rows have another shape.
"""

import sys
from pathlib import Path

import grammar

HERE = Path(__file__).parent
FAMILIES = ("fact_check", "feedback", "complexity", "modality", "safety", "language")


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    stale = []
    for family in [one for one in arguments if one != "--check"] or FAMILIES:
        for name, text in grammar.make(HERE / family).items():
            path = HERE / family / name
            if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
                stale.append(str(path))
            elif not check:
                path.write_text(text, encoding="utf-8")
                sys.stdout.write(f"{family}/{name}: {text.count(chr(10))} rows\n")
    for name in stale:
        sys.stderr.write(f"{name} is stale: run python corpora/make.py\n")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
