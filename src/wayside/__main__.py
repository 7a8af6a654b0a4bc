"""``python -m wayside``."""

from wayside.cli import main

main()
