"""Scripts of a folder are the first that its scripts find."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_script_takes_the_name_of_a_module_of_pythons() -> None:
    """``python bench/door.py`` would import ``bench/operator.py`` for ``operator``, and end."""
    for folder in ("bench", "scripts"):
        named = {path.stem for path in (ROOT / folder).glob("*.py")}
        assert not named & sys.stdlib_module_names
