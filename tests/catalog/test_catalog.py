"""The catalog: declared once, listed by name."""

import pytest

import wayside.plugins
import wayside.selection
import wayside.signals
from wayside.catalog import Catalog, catalog, discover
from wayside.settings import Settings


class Rule(Settings):
    """Example: ``{}``"""


def filled() -> Catalog:
    shelf = Catalog()

    @shelf.register("signal", "b", settings=Rule)
    class B:
        """Sees b.

        More about b.
        """

    @shelf.register("signal", "a", settings=Rule, stability="stable")
    class A:
        """Sees a."""

    @shelf.register("plugin", "a", settings=Rule)
    class Plug:
        pass

    return shelf


def test_a_kind_is_found_by_family_and_name() -> None:
    kind = filled().get("signal", "b")
    assert kind is not None
    assert (kind.summary, kind.stability, kind.settings) == ("Sees b.", "alpha", Rule)
    assert kind.module == __name__
    assert kind.build().__doc__.startswith("Sees b.")


def test_what_is_not_there_is_none() -> None:
    assert filled().get("selector", "a") is None
    assert filled().get("signal", "c") is None


def test_a_family_is_listed_by_name() -> None:
    assert filled().names("signal") == ("a", "b")
    assert filled().names("plugin") == ("a",)
    assert filled().names("selector") == ()


def test_a_name_is_taken_once() -> None:
    shelf = filled()
    with pytest.raises(ValueError, match=f"signal 'a' is already registered by {__name__}"):
        shelf.register("signal", "a", settings=Rule)(Rule)


def test_the_decorator_gives_the_class_back() -> None:
    assert Catalog().register("signal", "x", settings=Rule)(Rule) is Rule


def test_discovering_twice_registers_once() -> None:
    for package in (wayside.signals, wayside.selection, wayside.plugins):
        discover(package)
        discover(package)
    assert "keyword" in catalog.names("signal")
    assert {"static", "weighted"} <= set(catalog.names("selector"))
    assert {"header_mutation", "system_prompt"} <= set(catalog.names("plugin"))
