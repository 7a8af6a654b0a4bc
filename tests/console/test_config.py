"""The configuration in the console: edited with its comments, checked, saved, rolled back."""

from __future__ import annotations

import copy
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.console.rig import CONFIG, Browser, Console, console
from wayside.console.config import difference
from wayside.console.edits import Edit, NotEdited, edited, tree
from wayside.console.file import MAX_BYTES
from wayside.console.hidden import Hidden
from wayside.console.lines import Lines
from wayside.console.versions import Versions
from wayside.settings.load import documents

ODD = """\
# at the top
models:
    big:   # dear
        endpoints: [ {url: "http://a:1"},
                     {url: http://b:2} ]   # two
    small: {endpoints: [{url: http://c:3}]}

routing:
    decisions:

    # the hard ones
    -   name: a    # first
        models: [{model: big}]
    -   name: 'no'
        priority: 1e3
# at the end
"""


@pytest.fixture
async def c(tmp_path: Path) -> AsyncIterator[Console]:
    async with console(tmp_path) as found:
        yield found


# edits


def test_an_edit_changes_its_lines_and_no_others() -> None:
    made = edited(ODD, [Edit(["routing", "decisions", 0, "models", 0, "model"], "small")])
    assert made == ODD.replace("models: [{model: big}]", "models: [{model: small}]")
    made = edited(ODD, [Edit(["models", "small", "price"], {"prompt_per_1m": 1})])
    changed = [b for a, b in zip(ODD.splitlines(), made.splitlines(), strict=True) if a != b]
    assert changed == ["    small: {endpoints: [{url: http://c:3}], price: {prompt_per_1m: 1}}"]
    made = edited(ODD, [Edit(["routing", "decisions", 1])])
    assert documents(made)[0]["routing"]["decisions"] == [
        {"name": "a", "models": [{"model": "big"}]}
    ]
    for comment in ("# at the top", "# dear", "# two", "# the hard ones", "# first"):
        assert comment in made


def test_what_is_added_is_read_as_it_was_meant() -> None:
    """``no`` and ``1:30`` are words here, which YAML would read as something else."""
    words = ["no", "on", "1:30", "0x1f", "1e5", "null", "~", "", "=", "2026-01-01", "a: b", "# x"]
    for word in [*words, "- y", "é", "line\nline", " x ", "{a}", "${VAR}", "*a", "!t", "5"]:
        made = edited(ODD, [Edit(["routing", "decisions", 2], {"name": word, word: [word]})])
        assert documents(made)[0]["routing"]["decisions"][2] == {"name": word, word: [word]}


_KEYS = st.sampled_from(["name", "models", "when", "no", "1", "a.b", "x y"])
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-99, 99)
    | st.text("ab:#-'\"\n {}[]&*!|>%@", max_size=6)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(_KEYS, v, max_size=3),
    max_leaves=6,
)
_PATHS = st.sampled_from(
    [["models", "big", "x"], ["routing", "decisions", 0], ["routing", "decisions", 0, "when"],
     ["routing", "decisions", 2], ["listen", "port"], ["models", "small"], ["models", "big"]]
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(edits=st.lists(st.tuples(_PATHS, _VALUES), min_size=1, max_size=3))
def test_an_edited_text_says_what_was_asked_or_is_refused(
    edits: list[tuple[list[str | int], Any]],
) -> None:
    wanted: Any = tree(ODD)
    try:
        for path, value in edits:
            here = wanted
            for part in path[:-1]:
                if isinstance(here, dict) and here.get(part) is None:
                    here[part] = {}
                here = here[part]
            if isinstance(here, list) and path[-1] == len(here):
                here.append(value)
            else:
                here[path[-1]] = copy.deepcopy(value)
    except (TypeError, IndexError):
        wanted = None  # an earlier edit took the place away
    try:
        made = edited(ODD, [Edit(path, value) for path, value in edits])
    except NotEdited:
        return
    assert tree(made) == wanted


@pytest.mark.parametrize(
    ("text", "edit", "why"),
    [
        (ODD, Edit(["models", "none", "x"]), "nothing to take away"),
        (ODD, Edit(["routing", "decisions", 9], 1), "no such place"),
        (ODD, Edit(["routing", "decisions", "a"], 1), "no such place"),
        (ODD, Edit(["models", "big", "endpoints", 0, "url", "x"], 1), "no such place"),
        (ODD, Edit([], 1), "path: is empty"),
        ("a: &x {b: 1}\nc: *x\n", Edit(["c", "b"], 2), "edit it as text"),
        ("a: 1\n---\nb: 2\n", Edit(["a"], 2), "several documents"),
        ("a: " + "x" * 200_000, Edit(["a"], 2), "larger than"),
    ],
)
def test_what_cannot_be_edited_is_refused_with_the_reason(text: str, edit: Edit, why: str) -> None:
    with pytest.raises(NotEdited, match=why):
        edited(text, [edit])


def test_an_empty_file_can_be_begun() -> None:
    assert documents(edited("", [Edit(["listen", "port"], 1)]))[0] == {"listen": {"port": 1}}


# hidden keys


SECRETS = """\
models:
  a: {headers: {authorization: Bearer abcdefghijkl, x-team: red}, credential: {env: A_KEY}}
  b: {credential: {secret: ns/name, key: API_KEY}}
stores:
  r: {redis: {url: "redis://user:pa55word@host:1", password: hunter2, max_tokens: 9}}
x:
  api_key: "${FROM_ENV}"
  private_key: |
    -----BEGIN
    abcdef
  client_secret: >-
    folded over
    lines
# api_key: sk-abcdefghijklmnop
"""


def test_keys_are_hidden_and_found_again() -> None:
    hidden = Hidden()
    shown = hidden.hide(SECRETS)
    for secret in (
        "abcdefghijkl",
        "pa55word",
        "abcdef",
        "folded",
        "hunter2",
        "sk-abcdefghijklmnop",
    ):
        assert secret not in shown
    for plain in ("A_KEY", "ns/name", "API_KEY", "${FROM_ENV}", "red", "max_tokens: 9"):
        assert plain in shown
    assert hidden.reveal(shown, SECRETS) == SECRETS
    assert hidden.hide(shown) == shown
    documents(shown)  # is YAML still
    assert hidden.reveal("y: 1\n" + shown, SECRETS) == "y: 1\n" + SECRETS
    with pytest.raises(KeyError):
        hidden.reveal("a: HIDDEN-0123456789abcdef", SECRETS)
    assert Hidden().hide(SECRETS) != shown  # it says nothing about the value
    for broken in ("password: hunter2 b\n  x: [\n", "a: {b: 1, password: 'hunter2'}\n x: [\n"):
        assert "hunter2" not in hidden.hide(broken)
        assert hidden.reveal(hidden.hide(broken), broken) == broken
    assert hidden.hide(SECRETS + "z: [") != SECRETS + "z: ["
    assert "hunter2" not in hidden.hide(SECRETS + "z: [")
    bomb = "a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(50))
    assert hidden.hide(bomb) == bomb


@settings(max_examples=50, deadline=None)
@given(st.text("ab:#-'\"\n {}[]&*!|>%@$?=/.", max_size=80))
def test_any_text_is_hidden_and_found_again(text: str) -> None:
    text = f"password: {text}\n"
    hidden = Hidden()
    assert hidden.reveal(hidden.hide(text), text) == text


@pytest.mark.parametrize(
    "text", ["\n" * 300_000, "a: x" + " " * 300_000 + "x", "eyJ-" * 75_000, "b " * 150_000 + ":"]
)
def test_hiding_takes_linear_time(text: str) -> None:
    """A backtracking pattern would take hours over these."""
    assert Hidden().hide("[" + text) == "[" + text


async def test_a_viewer_never_gets_a_key_and_a_save_keeps_it(tmp_path: Path) -> None:
    key = "of-a-very-secret-thing"
    own = f"  own: {{endpoints: [http://127.0.0.1:9], headers: {{x-vendor-token: {key}}}}}\n"
    text = CONFIG.replace("models:\n", f"models:\n{own}", 1)
    async with console(tmp_path, text) as c:
        viewer, operator = await c.as_("VIEW"), await c.as_("OPER")
        config = (await viewer("GET", "/api/config")).body
        assert "very-secret" not in str(config)
        new = config["text"].replace("[integral]", "[derivative]")
        checked = await operator("POST", "/api/config/check", {"text": new})
        assert checked.body["ok"] and (checked.body["added"], checked.body["removed"]) == (1, 1)
        sent = {"text": new, "etag": config["etag"], "note": ""}
        assert "very-secret" not in str((await operator("PUT", "/api/config", sent)).body)
        assert key in c.file.read_text() and "[derivative]" in c.file.read_text()
        for version in (await viewer("GET", "/api/config/versions")).body["versions"]:
            found = await viewer("GET", f"/api/config/versions/{version['version']}")
            assert "very-secret" not in str(found.body)
        gone = config["text"].replace("HIDDEN-", "HIDDEN-0", 1)[:-1]
        wrong = {"text": gone.replace("HIDDEN-0", "HIDDEN-"), "etag": "x", "note": ""}
        assert (await operator("PUT", "/api/config", wrong)).status == 412


# lines


def test_a_problem_is_found_in_its_line() -> None:
    lines = Lines("models:\n  gpt-4.1:\n    endpoints:\n      - url: x\n      - url: y\n")
    assert lines.of("models.gpt-4.1.endpoints[1].url") == 5
    assert lines.of("models.gpt-4.1.endpoints[7]") == 3
    assert lines.of("models.gpt-4.1.none") == 2
    assert lines.of("line 7, column 2") == 7
    assert lines.of("routing") is None
    assert Lines("a: [").of("a") is None


def test_a_difference_is_bounded() -> None:
    assert difference("a\nb", "a\nc") == (
        "--- in force\n+++ new\n@@ -1,2 +1,2 @@\n a\n-b\n+c",
        1,
        1,
    )
    assert difference("a\n" * 30_000, "b")[1:] == (0, 0)


# saving


async def loaded(browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = (await browser("GET", "/api/config")).body
    return found


async def test_a_saved_file_is_in_force_and_can_be_rolled_back(c: Console) -> None:
    operator = await c.as_("OPER")
    before = await loaded(operator)
    path = ["routing", "decisions", 0, "models", 0, "model"]
    edits = {"text": before["text"], "edits": [{"path": path, "value": "small"}]}
    made = (await operator("POST", "/api/config/edit", edits)).body
    assert made["tree"]["routing"]["decisions"][0]["models"] == [{"model": "small"}]
    sent = {"text": made["text"], "etag": before["etag"], "note": "cheaper"}
    after = await operator("PUT", "/api/config", sent)
    assert after.status == 200 and "# the dear one" in after.body["text"]
    assert c.app.settings.routing.decisions[0].models[0].model == "small"
    assert c.app.state.generation == 2
    kept = (await operator("GET", "/api/config/versions")).body["versions"]
    assert [(v["by"], v["note"], v["in_force"]) for v in kept] == [
        ("otto", "cheaper", True),
        ("", "as it was found", False),
    ]
    shown = await operator("GET", f"/api/config/versions/{kept[1]['version']}")
    assert "-      models: [{model: small}]" in shown.body["diff"]
    back = {"version": kept[1]["version"], "etag": after.body["etag"]}
    assert (await operator("POST", "/api/config/rollback", back)).status == 200
    assert c.app.settings.routing.decisions[0].models[0].model == "big"
    assert c.file.read_text().replace(str(c.file.parent / "state"), "FOLDER") == CONFIG
    assert (await operator("GET", "/api/config/versions/../../x")).status == 404


async def test_a_file_that_changed_meanwhile_is_not_written_over(c: Console) -> None:
    operator = await c.as_("OPER")
    before = await loaded(operator)
    c.file.write_text(c.file.read_text() + "# by an editor\n")
    sent = {"text": before["text"] + "# by the console\n", "etag": before["etag"], "note": ""}
    found = await operator("PUT", "/api/config", sent)
    assert (found.status, found.code) == (412, "CHANGED_MEANWHILE")
    assert "# by an editor" in c.file.read_text()


async def test_a_bad_configuration_is_refused_with_every_problem(c: Console) -> None:
    operator = await c.as_("OPER")
    before = await loaded(operator)
    bad = before["text"].replace("{model: big}", "{model: bigg}").replace("keywords:", "keyword:")
    checked = (await operator("POST", "/api/config/check", {"text": bad})).body
    assert not checked["ok"]
    wrong = checked["problems"]
    assert [(p["line"], p["fix"]) for p in wrong if "bigg" in p["message"]] == [
        (24, "did you mean 'big'?")
    ]
    sent = {"text": bad, "etag": before["etag"], "note": ""}
    found = await operator("PUT", "/api/config", sent)
    assert (found.status, found.code) == (422, "CONFIG_REFUSED")
    assert found.body["error"]["problems"] == wrong
    assert await loaded(operator) == before and c.app.state.generation == 1
    assert (await operator("GET", "/api/config/versions")).body["versions"] == []
    for text in ("a: [", "- x", "a: b\n---\nc: d", "\x00", "models: &a [*a]"):
        found = await operator("POST", "/api/config/check", {"text": text})
        assert found.status == 200 and not found.body["ok"] and found.body["problems"]


async def test_what_waits_for_a_restart_is_said_before(c: Console) -> None:
    operator = await c.as_("OPER")
    text = (await loaded(operator))["text"] + "listen: {port: 9999}\n"
    checked = (await operator("POST", "/api/config/check", {"text": text})).body
    assert checked["ok"] and checked["needs_restart"] == ["listen"]


async def test_checking_leaves_nothing_behind(c: Console) -> None:
    operator = await c.as_("OPER")
    engines, policy = c.app.engines, c.app.runtime.policy
    text = (await loaded(operator))["text"]
    for _ in range(3):
        assert (await operator("POST", "/api/config/check", {"text": text})).body["ok"]
    assert c.app.engines is engines and c.app.runtime.policy is policy
    assert (await operator("GET", "/api/audit")).body["entries"][0]["what"] == "log in"


@pytest.mark.parametrize(
    ("extra", "why"),
    [("    write: false", "management.console.write is false")],
)
async def test_read_only_says_why(tmp_path: Path, extra: str, why: str) -> None:
    async with console(tmp_path, CONFIG.replace("console:", f"console:\n{extra}", 1)) as c:
        operator = await c.as_("OPER")
        before = await loaded(operator)
        assert (before["writable"], before["readonly_because"]) == (False, why)
        sent = {"text": before["text"] + "#\n", "etag": before["etag"], "note": ""}
        found = await operator("PUT", "/api/config", sent)
        assert (found.status, found.code) == (409, "READ_ONLY")


async def test_a_config_map_is_read_only_and_so_is_what_has_no_place_for_versions(
    tmp_path: Path,
) -> None:
    async with console(tmp_path) as c:
        assert c.app.console is not None
        file = c.app.console.config.file
        assert file.now().why == ""
        (tmp_path / "..data").symlink_to(tmp_path)
        assert "ConfigMap" in file.now().why
        (tmp_path / "..data").unlink()
        (tmp_path / "state").rename(tmp_path / "moved")
        (tmp_path / "state").write_text("")
        assert "management.console.folder" in file.now().why
        c.app.state.path = "standard input"
        assert "not read from a file" in file.now().why


async def test_a_link_is_followed_and_the_mode_kept(tmp_path: Path) -> None:
    async with console(tmp_path, watch=False) as c:
        real = tmp_path / "elsewhere" / "real.yaml"
        real.parent.mkdir()
        c.file.rename(real)
        c.file.symlink_to(real)
        real.chmod(0o640)
        assert c.app.console is not None
        c.app.console.config._patience = 0.0
        operator = await c.as_("OPER")
        before = await loaded(operator)
        sent = {"text": before["text"] + "# more\n", "etag": before["etag"], "note": ""}
        assert (await operator("PUT", "/api/config", sent)).status == 200
        assert c.file.is_symlink() and real.read_text().endswith("# more\n")
        assert stat.S_IMODE(real.stat().st_mode) == 0o640
        assert [path.name for path in real.parent.iterdir()] == [
            "real.yaml"
        ]  # nothing is left beside it


def test_versions_are_bounded_private_and_survive_damage(tmp_path: Path) -> None:
    now = [1e9]
    found = Versions(tmp_path, 3, clock=lambda: now[0])
    for i in range(6):
        found.keep(f"v{i}".encode(), "ada", "x" * 1000)
        found.keep(f"v{i}".encode(), "ada", "the same again")
        now[0] += i % 2
    kept = found.all()
    assert [found.text(v.version) for v in kept] == [b"v5", b"v4", b"v3"]
    assert len(kept[0].note) == 300
    files = list((tmp_path / "versions").iterdir())
    assert len(files) == 6 and {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
    (tmp_path / "versions" / f"{kept[0].version}.json").write_text("{")
    assert [v.version for v in found.all()] == [v.version for v in kept[1:]]
    for name in ("../../etc/passwd", "", "20260101T000000-00000000", kept[0].version + "/"):
        assert found.text(name) is None


async def test_forms_and_text_are_bounded(c: Console) -> None:
    operator = await c.as_("OPER")
    assert (
        await operator("POST", "/api/config/check", {"text": "x" * MAX_BYTES + "x"})
    ).status == 400
    many = {"text": "a: 1", "edits": [{"path": ["a"], "value": 1}] * 201}
    assert (await operator("POST", "/api/config/edit", many)).status == 400
    found = await operator("POST", "/api/config/edit", {"text": "a: [", "edits": []})
    assert (found.status, found.code) == (422, "CONFIG_REFUSED")
