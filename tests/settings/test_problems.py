"""What is said about settings that do not validate: where, what, and what to write."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wayside.catalog import catalog
from wayside.settings import RouterSettings
from wayside.settings.load import parse
from wayside.settings.problems import path_text, problems_from, suggest


def said(text: str) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        RouterSettings.model_validate(parse(text, {}))
    return [str(p) for p in problems_from(caught.value, RouterSettings)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listn: {}", "listn: unknown key; did you mean 'listen'?"),
        ("listen: {prot: 1}", "listen.prot: unknown key; did you mean 'port'?"),
        (
            "models: {a: {end_points: []}}",
            "models.a.end_points: unknown key; did you mean 'endpoints'?",
        ),
        (
            "models: {a: {endpoints: [{ur: x}]}}",
            "models.a.endpoints[0].ur: unknown key; did you mean 'url'?",
        ),
        (
            "models: {a: {timeouts: {idle: 3}}}",
            "models.a.timeouts.idle: unknown key; did you mean 'idle_s'?",
        ),
        (
            "models: {a: {price: {colour: 3}}}",
            "models.a.price.colour: unknown key; keys here: cache_write_per_1m, "
            "cached_input_per_1m, completion_per_1m, currency, prompt_per_1m",
        ),
        (
            "routing: {decisions: [{name: d, when: {all: [k:a, {nott: k:b}]}}]}",
            "routing.decisions[0].when.all[1].nott: unknown key; did you mean 'not'?",
        ),
        (
            "routing: {decisions: [{name: d, when: {not: {any: [{signl: k:b}]}}}]}",
            "routing.decisions[0].when.not.any[0].signl: unknown key; did you mean 'signal'?",
        ),
        (
            "routing: {decisions: [{name: d, models: [{modle: a}]}]}",
            "routing.decisions[0].models[0].modle: unknown key; did you mean 'model'?",
        ),
        (
            "recipes: {r: {decisons: []}}",
            "recipes.r.decisons: unknown key; did you mean 'decisions'?",
        ),
        # a name that is also a key somewhere leads nobody astray
        (
            "recipes: {decisions: {decisons: []}}",
            "recipes.decisions.decisons: unknown key; did you mean 'decisions'?",
        ),
        (
            "models: {endpoints: {endpoint: 1}}",
            "models.endpoints.endpoint: unknown key; did you mean 'endpoints'?",
        ),
        (
            "entrypoints: [{names: [a], recipee: b}]",
            "entrypoints[0].recipee: unknown key; did you mean 'recipe'?",
        ),
    ],
)
def test_an_unknown_key_gets_the_nearest_one_at_every_depth(text: str, message: str) -> None:
    assert message in said(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("entrypoints: [{names: [a]}]", "entrypoints[0].recipe: is required; add it"),
        ("listen: 5", "listen: expected a mapping, got 5"),
        ("models: {a: 5}", "models.a: expected a mapping, got 5"),
        (
            "models: {a: {hedge: true}}",
            "models.a.hedge: expected a mapping, got True; keys here: after_s, percentile, share",
        ),
        (
            "routing: {decisions: [{name: d, sticky: false}]}",
            "routing.decisions[0].sticky: expected a mapping, got False; write {enabled: false}",
        ),
        (
            "routing: {decisions: [{name: d, plugins: [response_cache]}]}",
            "routing.decisions[0].plugins: expected a mapping, got ['response_cache']; "
            "write {response_cache: {}}, each name with its settings",
        ),
        (
            "models: {a: {endpoints: 'http://h'}}",
            "models.a.endpoints: expected a list, got 'http://h'; put it in [ ]",
        ),
        ("models: {a: {endpoints: {}}}", "models.a.endpoints: expected a list, got {}"),
        (
            "entrypoints: [{names: [], recipe: r}]",
            "entrypoints[0].names: is too short; give at least 1",
        ),
        ("listen: {port: 99999}", "listen.port: input should be less than or equal to 65535, got"),
        ("models: {'': {}}", "models.: string should have at least 1 character, got ''"),
        (
            "routing: {decisions: [{name: d, when: urgent}]}",
            "routing.decisions[0].when: 'urgent' does not name a signal; write kind:name, got",
        ),
        (
            "routing: {decisions: [{name: d, when: {signal: k:a, all: []}}]}",
            "routing.decisions[0].when: a condition is one of: a signal (kind:name), all",
        ),
        (
            "routing: {decisions: [{name: d, when: {any: [k:a], gt: 1}}]}",
            "routing.decisions[0].when: gt, gte, lt, lte and eq compare a signal's value",
        ),
        (
            "routing: {decisions: [{name: d, select: 5}]}",
            "routing.decisions[0].select: name one selection algorithm: its name, or "
            "{name: {its settings}}, got 5",
        ),
        (
            "routing: {decisions: [{name: d, select: {a: {}, b: {}}}]}",
            "routing.decisions[0].select: name one selection algorithm",
        ),
        (
            "models: {a: {endpoints: ['ftp://h']}}",
            "models.a.endpoints[0].url: scheme 'ftp' is not supported; write http:// or https://",
        ),
        ("routing: {strategy: best}", "routing.strategy: input should be 'priority' or 'confiden"),
        ("models: {a: {price: {prompt_per_1m: .nan}}}", "models.a.price.prompt_per_1m: "),
    ],
)
def test_a_problem_says_where_and_what(text: str, message: str) -> None:
    assert any(p.startswith(message) for p in said(text)), said(text)


def test_a_choice_that_is_nearly_right_is_named() -> None:
    near, far = said("models: {a: {provider: opnai}, b: {provider: nobodys}}")
    assert near.startswith("models.a.provider: input should be 'openai', ")
    assert near.endswith("got 'opnai'; did you mean 'openai'?")
    assert far.endswith("got 'nobodys'")


def test_everything_wrong_is_said_at_once_and_once() -> None:
    problems = said("listen: {port: x}\nmodels: {a: {endpoint: 1}, b: 5}\nwhat: 1")
    assert [p.partition(":")[0] for p in problems] == [
        "listen.port",
        "models.a.endpoint",
        "models.b",
        "what",
    ]


@pytest.mark.parametrize(
    "credential",
    [
        "sk-live-51Habcdef",
        "{env: sk-live-51Habcdef}",
        "{env: [sk-live-51Habcdef]}",
        "{key: sk-live-51Habcdef}",
        "{env: A, file: sk-live-51Habcdef}",
        "{env: A, header: 'sk-live-51Habcdef: x'}",
        "[sk-live-51Habcdef]",
    ],
)
def test_a_key_that_was_written_inline_is_not_repeated(credential: str) -> None:
    problems = " ".join(said(f"models: {{a: {{credential: {credential}}}}}"))
    assert problems.startswith("models.a.credential")
    if "header" not in credential:
        assert "sk-live" not in problems


def test_an_inline_key_is_refused_with_what_to_write_instead() -> None:
    assert said("models: {a: {credential: sk-live-51Habcdef}}") == [
        "models.a.credential: a key is never written here, only where to find it; "
        "write {env: NAME_OF_A_VARIABLE} or {file: /path/to/key}"
    ]


def test_a_password_in_an_url_is_not_repeated() -> None:
    problems = " ".join(said("models: {a: {endpoints: ['http://me:hunter2@h', {url: 'h@x//'}]}}"))
    assert "hunter2" not in problems
    assert "http://***@h" in problems


SECRET = "CANARYs3cr3t"


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("redis", {"password": SECRET}),
        ("redis", {"password": [SECRET]}),
        ("redis", {"password": {"env": f"{SECRET}-$"}}),
        ("redis", {"url": f"redis://:{SECRET}@h/0"}),
        ("redis", {"url": f"redis://me:{SECRET}/x@h/0"}),
        ("redis", {"url": f"redis://h/0?password={SECRET}"}),
        ("postgres", {"host": f"me:{SECRET}@h"}),
    ],
)
def test_what_may_be_a_secret_of_a_store_is_not_repeated(kind: str, written: Any) -> None:
    settings = catalog.get("store", kind).settings
    with pytest.raises(ValidationError) as caught:
        settings.model_validate(written)
    problems = [str(p) for p in problems_from(caught.value, settings)]
    assert problems
    assert SECRET not in " ".join(problems)


@pytest.mark.parametrize(
    "model",
    [
        {"endpoints": [f"http://h/v1?key={SECRET}"]},
        {"endpoints": ["http://h"], "headers": {"authorization": [SECRET]}},
    ],
)
def test_what_may_be_a_secret_of_a_model_is_not_repeated(model: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        RouterSettings.model_validate({"models": {"m": model}})
    problems = " ".join(str(p) for p in problems_from(caught.value, RouterSettings))
    assert problems
    assert SECRET not in problems


def test_what_was_written_is_shortened() -> None:
    (problem,) = said(f"listen: {{port: {'x' * 500}}}")
    assert len(problem) < 200


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("langauge", ["language", "domain"], "did you mean 'language'?"),
        ("xyz", ["language", "domain"], "kinds: domain, language"),
        ("xyz", [], "kinds: (none)"),
    ],
)
def test_a_suggestion_is_near_or_a_list(word: str, known: list[str], said: str) -> None:
    assert suggest(word, known, "kinds") == said


@pytest.mark.parametrize(
    ("loc", "where", "text"),
    [
        (("models", "a", "endpoints", 0), "", "models.a.endpoints[0]"),
        (("name",), "signals.k", "signals.k.name"),
        ((0, "x"), "", "[0].x"),
        ((), "routing", "routing"),
        (("models", "a", "[key]"), "", "models.a"),
    ],
)
def test_a_path_reads_like_code(loc: Any, where: str, text: str) -> None:
    assert path_text(loc, where) == text


_keys = st.sampled_from(
    [
        *RouterSettings.model_fields,
        "endpoints",
        "when",
        "not",
        "all",
        "a",
        "decisions",
        "credential",
    ]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["k:a", "x", "http://h"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(_keys, _values, max_size=5))
def test_any_document_is_settings_or_problems(document: dict[str, Any]) -> None:
    try:
        RouterSettings.model_validate(document)
    except ValidationError as error:
        problems = problems_from(error, RouterSettings)
        assert problems
        assert len({str(p) for p in problems}) == len(problems)
        assert all(p.where for p in problems)
