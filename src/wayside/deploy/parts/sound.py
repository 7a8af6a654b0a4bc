"""What no target can do with an intent, by path: images without a version, labels that no API
server takes, routers that would each count for themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wayside.deploy.intent import Intent
from wayside.vocab.errors import Problem

_KEY: Final = re.compile(
    r"(?:(?=.{1,253}/)[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?"
    r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE: Final = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_OURS: Final = ("app.kubernetes.io/", "wayside.vllm.ai/")
RATE: Final = "wayside_requests_per_second"
"""Of each pod: what :mod:`wayside.manifests.alerts` has Prometheus record."""


def several(intent: Intent) -> str:
    """The path of what makes more than one router; empty where there is one."""
    if intent.router.autoscale is not None:
        return "router.autoscale" if intent.router.autoscale.max > 1 else ""
    return "router.replicas" if intent.router.replicas > 1 else ""


def problems(intent: Intent) -> Iterator[Problem]:
    """Whatever would be refused, or do nothing, on every target."""
    yield from _image(intent.router.image, "router.image")
    for name, model in intent.models.items():
        if model.image:
            yield from _image(model.image, f"models.{name}.image")
    for key, value in intent.labels.items():
        yield from _label(key, value)
    yield from _autoscaler(intent)
    yield from _counting_alone(intent)


def _image(image: str, where: str) -> Iterator[Problem]:
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if digest or (tag and tag != "latest"):
        return
    what = f"{image!r} is another image each day" if image else "there is no image"
    yield Problem(what, where, "give it a version (NAME:1.2.3) or a digest (NAME@sha256:...)")


def _label(key: str, value: str) -> Iterator[Problem]:
    where = f"labels.{key}"
    if key.startswith(_OURS):
        yield Problem("we write this label ourselves", where, "take another key")
    elif not _KEY.fullmatch(key):
        what = "is no key of a label"
        fix = "63 letters, digits, - _ . at most, after an optional `example.com/`"
        yield Problem(what, where, fix)
    if not _VALUE.fullmatch(value):
        what = f"{value[:70]!r} is no value of a label"
        yield Problem(what, where, "63 letters, digits, - _ . at most")


def _autoscaler(intent: Intent) -> Iterator[Problem]:
    wish, at = intent.router.autoscale, "router.autoscale"
    if wish is None:
        return
    if wish.min > wish.max:
        yield Problem(f"min {wish.min} is more than max {wish.max}", f"{at}.min", "write less")
    if wish.cpu is None and wish.requests_per_second is None:
        what = "nothing says when there are too few"
        yield Problem(what, f"{at}.cpu", "write cpu: 70, or requests_per_second")
    if wish.cpu is not None and intent.router.resources.cpu is None:
        what = "a share of what is requested, and nothing is"
        yield Problem(what, f"{at}.cpu", "write router.resources.cpu, or cpu: null")
    if wish.requests_per_second is not None and not intent.monitoring:
        what = f"nobody measures {RATE}"
        fix = "write monitoring: true, or leave it out"
        yield Problem(what, f"{at}.requests_per_second", fix)


def _counting_alone(intent: Intent) -> Iterator[Problem]:
    """Several routers that let people in themselves, and know nothing of each other: limits that
    hold several times over, keys and tokens that one router believes and the next does not."""
    said, where = intent.router.settings.get("maas"), several(intent)
    if not isinstance(said, dict) or not where:
        return
    at, alone = "router.settings.maas", f"or have one router ({where})"
    limits = said.get("limits")
    if not isinstance(limits, dict) or limits.get("store", "memory") == "memory":
        what = "each of several routers would count for itself"
        yield Problem(what, f"{at}.limits.store", f"name a store of kind redis, {alone}")
    if said.get("database") is None:
        what = "each of several routers would have API keys of its own"
        yield Problem(what, f"{at}.database", f"name a PostgreSQL for all of them, {alone}")
    if said.get("kubernetes") is None:
        what = "each of several routers would sign tokens with keys of its own"
        yield Problem(what, f"{at}.kubernetes", f"write kubernetes: {{}}, {alone}")
