"""A semantic router: reads a prompt, decides which model should answer it, and where."""

__version__ = "0.1.0"
