"""What the frame answers, beside what its pages expect: ``console/src/api/types.ts``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.console.rig import console
from tests.console.test_shapes import INTERFACES

SCALARS = {"string": str, "boolean": bool, "number": (int, float), "null": type(None)}


def fits(value: Any, shape: Any, at: str = "answer") -> None:
    """``value`` has what ``shape`` says, and nothing else."""
    if isinstance(shape, str) and shape in INTERFACES:
        shape = INTERFACES[shape]
    if isinstance(shape, dict):
        assert isinstance(value, dict), at
        optional = {name.rstrip("?") for name in shape if name.endswith("?")}
        names = {name.rstrip("?"): inner for name, inner in shape.items()}
        assert value.keys() - optional == names.keys() - optional, at
        for name, inner in value.items():
            fits(inner, names[name], f"{at}.{name}")
    elif isinstance(shape, tuple) and shape[0] == "list":
        assert isinstance(value, list), at
        for inner in value:
            fits(inner, shape[1], f"{at}[]")
    elif isinstance(shape, tuple) and shape[0] == "any of":
        kinds = {SCALARS.get(one, str) for one in shape[1:]}
        assert any(isinstance(value, kind) for kind in kinds), at
    elif isinstance(shape, str) and shape in SCALARS:
        assert isinstance(value, SCALARS[shape]), at  # type: ignore[arg-type]
        assert shape != "number" or not isinstance(value, bool), at


async def test_pages_get_what_they_expect_from_the_frame(tmp_path: Path) -> None:
    async with console(tmp_path) as c:
        browser = await c.as_("OPER")
        config = (await browser("GET", "/api/config")).body
        text = config["text"].replace("[integral]", "[derivative]")
        edits = {"text": text, "edits": [{"path": ["listen", "port"], "value": 1}]}
        sent = {"text": text, "etag": config["etag"], "note": "n"}
        assert (await browser("PUT", "/api/config", sent)).status == 200
        for shape, method, path, body in (
            ("Logins", "GET", "/logins", None),
            ("Me", "GET", "/me", None),
            ("Config", "GET", "/config", None),
            ("Edited", "POST", "/config/edit", edits),
            ("Checked", "POST", "/config/check", {"text": text}),
            ("Checked", "POST", "/config/check", {"text": "models: {a: {endpoint: x}}"}),
            ("Rehearsed", "POST", "/config/rehearse", {"text": text}),
            ({"versions": ("list", "Version")}, "GET", "/config/versions", None),
            ("Audit", "GET", "/audit", None),
        ):
            answer = await browser(method, f"/api{path}", body)
            assert answer.status == 200, answer.raw
            fits(answer.body, shape, path)
        version = (await browser("GET", "/api/config/versions")).body["versions"][0]["version"]
        one = (await browser("GET", f"/api/config/versions/{version}")).body
        fits(one, {"version": "string", "text": "string", "diff": "string"})
