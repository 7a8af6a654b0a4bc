"""Docstrings below fields are their descriptions, read when a schema is asked for."""

from __future__ import annotations

import subprocess
import sys

from pydantic import Field, create_model

from wayside.settings.base import Settings
from wayside.settings.described import Described, descriptions


class Inner(Settings):
    size: int = 1
    """How large;
    at most ten."""


class Outer(Inner):
    inner: Inner = Inner()
    """What is in it."""
    named: int = Field(0, alias="class")
    """Under another name."""
    said: int = Field(0, description="Its own words.")
    """Not these."""
    silent: int = 0
    "".join([])


def test_docstrings_of_a_class_and_its_bases_are_found() -> None:
    assert descriptions(Outer) == {
        "size": "How large;\nat most ten.",
        "inner": "What is in it.",
        "named": "Under another name.",
        "said": "Not these.",
    }


def test_a_schema_says_them() -> None:
    schema = Outer.model_json_schema()
    said = {name: about.get("description") for name, about in schema["properties"].items()}
    assert said == {
        "size": "How large;\nat most ten.",
        "inner": "What is in it.",
        "class": "Under another name.",
        "said": "Its own words.",
        "silent": None,
    }
    assert schema["$defs"]["Inner"]["properties"]["size"]["description"].startswith("How")


def test_a_class_without_source_has_none() -> None:
    made = create_model("made", __base__=Described, size=(int, 1))
    assert descriptions(made) == {}
    assert "description" not in made.model_json_schema()["properties"]["size"]


STARTED = """
import wayside.cli.config
from pydantic import BaseModel
from wayside.settings.described import descriptions

def every(cls):
    for each in cls.__subclasses__():
        yield each
        yield from every(each)

ours = [c for c in every(BaseModel) if c.__module__.startswith("wayside")]
assert len(ours) > 100
assert not [c for c in ours if c.model_config.get("use_attribute_docstrings")]
assert descriptions.cache_info().currsize == 0
"""


def test_starting_reads_no_source() -> None:
    """It was half of what starting took: 2.1 s of CPU, and 1.05 s without."""
    subprocess.run([sys.executable, "-c", STARTED], check=True)
