"""Photograph every page of the console, in light, in dark, and at phone width: docs/img/console.

    .venv/bin/python scripts/screenshots.py [PAGE ...]

The router is real, its models are simulated, and its traffic is the same each time.
"""

from __future__ import annotations

import io
import itertools
import struct
import sys
import tempfile
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.console.browser import PROMPTS, TOKENS, Router, chromium, serving  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TO = ROOT / "docs" / "img" / "console"
ROUNDS = 6
PAUSE_S = 0.1
FAILS_EACH = 5
TALLEST = 1300
"""A part of a page that ends below is not in the picture."""
PROMPT = "Explain why my regex does not match across lines, asap"

CHANGES = (
    ("Fewer false alarms about languages", "threshold: 0.5}", "threshold: 0.6}"),
    (
        "Code has to be surer",
        "computer science], threshold: 0.4",
        "computer science], threshold: 0.45",
    ),
)
"""A note, and what is put in the place of what."""
RIGHT = (
    "programming", "exact-sciences", "(none)", "programming", "careful-subjects", "exact-sciences",
    "long-or-urgent", "programming", "(none)", "exact-sciences", "attack", "careful-subjects",
    "long-or-urgent", "exact-sciences",
)  # fmt: skip
"""What an evaluation holds to be right for each of `PROMPTS`: the last two are debatable."""
WHOLE = """most => {
  const page = document.documentElement.scrollHeight;
  if (page <= most) return page;
  const ends = [...document.querySelectorAll('main > *, main > .grid > *, main .card, .verdict')]
    .map(part => part.getBoundingClientRect().bottom + scrollY + 12)
    .filter(end => end <= most);
  const last = Math.max(0, ...ends);
  return last > most * 0.75 ? last : most;
}"""
CALL = """async ([method, path, body]) => {
  const me = await (await fetch('/console/api/me')).json();
  const headers = { 'content-type': 'application/json', 'x-wayside-csrf': me.csrf };
  const sent = body === null ? {} : { body: JSON.stringify(body) };
  const answer = await fetch('/console/api' + path, { method, headers, ...sent });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}"""


@dataclass(frozen=True)
class Look:
    name: str
    scheme: Literal["light", "dark"]
    width: int
    height: int


LOOKS = (
    Look("light", "light", 1280, 800),
    Look("dark", "dark", 1280, 800),
    Look("narrow", "light", 390, 844),
)


def main(wanted: Sequence[str]) -> None:
    TO.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as router:
        for at in range(ROUNDS):
            router.round(fails=not at)
        with traffic(router), chromium() as browser:
            prepared(browser, router)
            for look in LOOKS:
                for name, png in photographs(browser, router, look, wanted):
                    small = palette(png)
                    path = TO / f"{name}-{look.name}.png"
                    path.write_bytes(small)
                    print(f"{path.relative_to(ROOT)}  {len(small) / 1000:.0f} kB")


def photographs(
    browser: Browser, router: Router, look: Look, wanted: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    context = browser.new_context(
        viewport={"width": look.width, "height": look.height}, color_scheme=look.scheme
    )
    page = context.new_page()
    page.goto(router.console)
    page.get_by_label("Token").wait_for()
    if not wanted or "login" in wanted:
        yield "login", page.screenshot()
    page.goto("about:blank")
    page.goto(f"{router.console}#token={TOKENS['admin']}")
    page.get_by_role("heading", level=1, name="Live").wait_for()
    links = page.locator("nav a").evaluate_all(
        "all => all.map(a => [a.textContent, a.getAttribute('href')])"
    )
    # The live page comes last: by then there is something on its charts.
    for title, href in [*links[1:], ("Replay", ""), links[0]]:
        name = title.lower()
        if wanted and name not in wanted:
            continue
        if href:
            page.evaluate("to => { location.hash = to }", href)
            page.get_by_role("heading", level=1).wait_for()
        arranged(page, name)
        page.wait_for_function("() => !document.querySelector('.loading')")
        page.wait_for_timeout(3000 if name == "live" else 400)
        yield name, page.screenshot(full_page=True, clip=visible(page, look))
    context.close()


def prepared(browser: Browser, router: Router) -> None:
    """What people have done before: two changes of the configuration, keys, an evaluation."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{router.console}#token={TOKENS['admin']}")
    page.get_by_role("heading", level=1, name="Live").wait_for()
    for note, before, after in CHANGES:
        config = called(page, "GET", "/config")
        text = config["text"].replace(before, after)
        called(page, "PUT", "/config", {"text": text, "etag": config["etag"], "note": note})
    for name, tier in (("nightly-reports", "premium"), ("intranet-chat", "free")):
        called(page, "POST", "/access/keys", {"name": name, "tier": tier})
    right = list(zip(PROMPTS, RIGHT, strict=True))
    exact = [(text, "yes" if label == "exact-sciences" else "no") for text, label in right]
    for name, signal, labelled in (
        ("Is it exact?", "domain:exact", exact),
        ("Where prompts go", "decision", right),
    ):
        rows = [{"text": text, "label": label} for text, label in labelled]
        called(page, "POST", "/evaluations", {"name": name, "signal": signal, "rows": rows})
    context.close()


def called(page: Page, method: str, path: str, body: object = None) -> Any:
    """One call of the console's API, as its pages make it."""
    return page.evaluate(CALL, [method, path, body])


def arranged(page: Page, name: str) -> None:
    """What a page needs before there is something to see on it."""
    if name == "playground":
        page.get_by_label("Prompt", exact=True).fill(PROMPT)
        page.locator(".verdict").wait_for()
    if name == "evaluation":
        page.get_by_role("row").filter(has_text="Where prompts go").click()
        page.get_by_text("All of them").wait_for()
    if name == "replay":
        page.evaluate("() => { location.hash = '#/replays' }")
        page.get_by_text("reverses a linked list").first.click()
        page.get_by_role("button", name="Decide again now").click()
        page.get_by_text("It would go the same way").wait_for()


def visible(page: Page, look: Look) -> dict[str, float]:
    tall = page.evaluate(WHOLE, TALLEST)
    return {"x": 0, "y": 0, "width": look.width, "height": max(tall, look.height)}


@contextmanager
def traffic(router: Router) -> Iterator[None]:
    """Requests that pass while the block lasts."""
    over = threading.Event()

    def ask() -> None:
        rounds = itertools.count(1)
        while not over.is_set():
            router.round(PAUSE_S, fails=next(rounds) % FAILS_EACH == 0)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def palette(png: bytes) -> bytes:
    """The picture with at most 40 colours, which is a quarter of the size: the most frequent ones,
    and for each of the rest the nearest of those."""
    width, height, rows = pixels(png)
    counts: Counter[bytes] = Counter()
    for row in rows:
        counts.update(row[at : at + 3] for at in range(0, len(row), 3))
    kept = _spread(counts)
    index = {colour: at for at, colour in enumerate(kept)}
    for colour in counts:
        if colour not in index:
            index[colour] = min(range(len(kept)), key=lambda at: _apart(kept[at], colour))
    packed = b"".join(
        b"\0" + bytes(index[row[at : at + 3]] for at in range(0, len(row), 3)) for row in rows
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, io.SEEK_END)
    for kind, data in (
        (b"IHDR", head),
        (b"PLTE", b"".join(kept)),
        (b"IDAT", zlib.compress(packed, 9)),
        (b"IEND", b""),
    ):
        out.write(struct.pack(">I", len(data)) + kind + data)
        out.write(struct.pack(">I", zlib.crc32(kind + data)))
    return out.getvalue()


def _spread(counts: Counter[bytes]) -> list[bytes]:
    """40 colours: the most frequent ones that are not all shades of the same."""
    kept: list[bytes] = []
    for least in (12, 6, 0):
        for colour, _ in counts.most_common(4000):
            if len(kept) == 40:
                return kept
            if all(_apart(colour, other) > least * least for other in kept):
                kept.append(colour)
    return kept


def _apart(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def pixels(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height, and each row as RGB, of a PNG as Chromium writes it (8 bit, RGB or RGBA)."""
    at, data, width, height, step = 8, b"", 0, 0, 3
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        kind, chunk = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, _, colours = struct.unpack_from(">IIBB", chunk)
            step = {2: 3, 6: 4}[colours]
        if kind == b"IDAT":
            data += chunk
        at += size + 12
    raw, rows, above = zlib.decompress(data), [], bytearray(width * step)
    for row in range(height):
        start = row * (width * step + 1)
        line = bytearray(raw[start + 1 : start + 1 + width * step])
        _unfilter(raw[start], line, above, step)
        above = line
        rows.append(bytes(line) if step == 3 else _opaque(line))
    return width, height, rows


def _opaque(line: bytearray) -> bytes:
    out = bytearray(len(line) // 4 * 3)
    out[0::3], out[1::3], out[2::3] = line[0::4], line[1::4], line[2::4]
    return bytes(out)


def _unfilter(kind: int, line: bytearray, above: bytearray, step: int) -> None:
    """Undo one row's filter, in place (PNG specification, section 9)."""
    if kind == 0:
        return
    for at in range(len(line)):
        left = line[at - step] if at >= step else 0
        up, corner = above[at], above[at - step] if at >= step else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        else:
            near = left + up - corner
            by = (abs(near - left), abs(near - up), abs(near - corner))
            guess = (left, up, corner)[by.index(min(by))]
        line[at] = (line[at] + guess) & 255


if __name__ == "__main__":
    main(sys.argv[1:])
