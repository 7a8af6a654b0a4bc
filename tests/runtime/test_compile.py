"""Settings become a policy, or every problem is told at once with its path and its fix."""

from typing import Any

import pytest

from tests.flow.driving import A4, ENV
from wayside.flow import Policy
from wayside.runtime import compile_policy
from wayside.runtime.keys import KeyRing
from wayside.settings import RouterSettings
from wayside.settings.load import parse
from wayside.vocab.errors import ConfigError

MODEL = "models: {big: {endpoints: [h]}}\n"


def compiled(text: str, **options: Any) -> Policy:
    settings = RouterSettings.model_validate(parse(text, {}))
    return compile_policy(settings, **{"keys": KeyRing(ENV).resolve, **options})


def problems(text: str, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compiled(text, **options)
    return [str(p) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "models: no model is configured; add one: models.NAME.endpoints"),
        (
            "models: {big: {}}",
            "models.big.endpoints: no endpoint; add one, such as http://host:8000",
        ),
        (
            "models: {big: {provider: azure-openai}}",
            "models.big.endpoints: no endpoint; add one, such as "
            "https://RESOURCE.openai.azure.com",
        ),
        (
            "models: {big: {endpoints: ['http://a/v1', 'http://b/api']}}",
            "models.big.endpoints: endpoints differ in their paths: /api, /v1; "
            "make it two models, or serve them under one path",
        ),
        (
            "strict_ip: true\nmodels: {big: {endpoints: ['10.0.0.7', vllm.svc]}}",
            "models.big.endpoints[1]: invalid IP address format, got: vllm.svc; "
            "strict_ip accepts only addresses",
        ),
        (
            "models: {big: {endpoints: [h], reasoning_family: qwen}}\n"
            "reasoning_families: {qwen3: {type: thinking, parameter: t}}",
            "models.big.reasoning_family: no reasoning family 'qwen'; did you mean 'qwen3'?",
        ),
        (
            "models: {big: {endpoints: [h], headers: {'bad name': x}}}",
            "models.big.headers.bad name: 'bad name' is not a header name",
        ),
        (
            "models: {big: {endpoints: [h], headers: {Host: x}}}",
            "models.big.headers.Host: header 'Host' is the router's own; "
            "it cannot be changed here",
        ),
        (
            'models: {big: {endpoints: [h], headers: {a: "b\\nc"}}}',
            "models.big.headers.a: a header value is printable ASCII on one line",
        ),
        (
            "models: {big: {endpoints: [h], headers: {X-Api-Key: sk-secret}}}",
            "models.big.headers.X-Api-Key: carries a key; "
            "a key is given by reference: credential: {env: NAME}",
        ),
        (
            "models: {big: {endpoints: [h], credential: {env: NOT_SET}}}",
            "models.big.credential: environment variable NOT_SET is empty or not set; "
            "set it before starting",
        ),
        (
            "models: {a: {endpoints: [h], aliases: [b]}, b: {endpoints: [h]}}",
            "models.b: 'b' already names model 'a'; rename one",
        ),
        (
            "models: {a: {endpoints: [h], loras: [x]}, b: {endpoints: [h], loras: [x]}}",
            "models.b: 'x' already names model 'a'; rename one",
        ),
        (
            "models: {auto: {endpoints: [h]}}",
            "models: 'auto' names a model and asks for a choice; rename one",
        ),
        (
            MODEL + "routing: {default_model: bigg}",
            "routing.default_model: no model 'bigg'; did you mean 'big'?",
        ),
        (
            MODEL + "routing: {decisions: [{name: d, models: [big, xyz]}]}",
            "routing.decisions[0].models[1]: no model 'xyz'; models: big",
        ),
        (
            "models: {big: {endpoints: [h], loras: [law]}}\n"
            "routing: {decisions: [{name: d, models: [{model: big, lora: lwa}]}]}",
            "routing.decisions[0].models[0].lora: no adapter 'lwa'; did you mean 'law'?",
        ),
        (
            MODEL + "routing: {decisions: [{name: d, models: [big]}, {name: d, models: [big]}]}",
            "routing.decisions[1].name: decision 'd' is written twice; rename one",
        ),
        (
            MODEL + "routing: {decisions: [{name: d, models: [big], select: wieghted}]}",
            "routing.decisions[0].select: no selection algorithm 'wieghted'; "
            "did you mean 'weighted'?",
        ),
        (
            MODEL + "routing: {decisions: [{name: d, models: [big], select: {static: {a: 1}}}]}",
            "routing.decisions[0].select.static.a: unknown key; keys here: (none)",
        ),
        (
            MODEL
            + "routing: {decisions: [{name: d, models: [big], plugins: {system_promt: {}}}]}",
            "routing.decisions[0].plugins.system_promt: no plugin 'system_promt'; "
            "did you mean 'system_prompt'?",
        ),
        (
            MODEL
            + "routing: {decisions: [{name: d, models: [big], plugins: "
            + "{semantic-cache: {}, response_cache: {}}}]}",
            "routing.decisions[0].plugins.response_cache: 'response_cache' is 'semantic-cache', "
            "which is there already",
        ),
        (
            MODEL
            + "routing: {decisions: [{name: d, models: [big], plugins: "
            + "{response_cache: {store: shared}}}]}",
            "routing.decisions[0].plugins.response_cache.store: no store 'shared'; "
            "add it under `stores: {shared: ...}`, or name one of: memory",
        ),
        (
            MODEL
            + "routing: {decisions: [{name: d, models: [big], plugins: "
            + "{system_prompt: {prompt: x, mod: insert}}}]}",
            "routing.decisions[0].plugins.system_prompt.mod: unknown key; did you mean 'mode'?",
        ),
        (
            MODEL + "routing: {signals: {keywrd: {a: {}}}}",
            "routing.signals.keywrd: no signal kind 'keywrd'; did you mean 'keyword'?",
        ),
        (
            MODEL + "routing: {signals: {keyword: {a: {keywords: [x], oprator: OR}}}}",
            "routing.signals.keyword.a.oprator: unknown key; did you mean 'operator'?",
        ),
        (
            MODEL + "routing: {signals: {keyword: {a: {keywords: ['('], method: regex}}}}",
            "routing.signals.keyword.a.keywords[0]: pattern '(' does not compile",
        ),
        (
            MODEL + "routing: {signals: {language: {a: {languages: [english]}}}}",
            "routing.signals.language.a.languages[0]: no language 'english'",
        ),
        (
            MODEL
            + "routing: {signals: {keyword: {urgent: {keywords: [x]}}},"
            + " decisions: [{name: d, when: {all: ['keyword:urgnt']}, models: [big]}]}",
            "routing.decisions[0].when: no signal 'keyword:urgnt'; did you mean 'urgent'?",
        ),
        (
            MODEL + "routing: {decisions: [{name: d, when: 'keyword:a', models: [big]}]}",
            "routing.decisions[0].when: no signal 'keyword:a': kind 'keyword' has no rules",
        ),
        (
            MODEL + "recipes: {default: {}}",
            "recipes.default: 'default' is the recipe under routing; rename it",
        ),
        (
            MODEL + "recipes: {fast: {decisions: [{name: d, models: [xyz]}]}}",
            "recipes.fast.decisions[0].models[0]: no model 'xyz'; models: big",
        ),
        (
            MODEL + "recipes: {fast: {}}\nentrypoints: [{names: [f], recipe: fsat}]",
            "entrypoints[0].recipe: no recipe 'fsat'; did you mean 'fast'?",
        ),
        (
            MODEL + "recipes: {fast: {}}\nentrypoints: [{names: [auto], recipe: fast}]",
            "entrypoints[0].names: 'auto' already routes; use another name",
        ),
        (
            MODEL + "recipes: {fast: {}}\nentrypoints: [{names: [big], recipe: fast}]",
            "models: 'big' names a model and asks for a choice; rename one",
        ),
    ],
)
def test_a_problem_is_told_with_its_path_and_its_fix(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert found.startswith(problem)


def test_every_problem_is_told_at_once() -> None:
    text = """
    models:
      a: {endpoints: [h], reasoning_family: x}
      b: {credential: {env: NOT_SET}}
    routing:
      default_model: c
      signals: {keyword: {k: {}}, nonsense: {}}
      decisions:
        - {name: d, when: "keyword:k", models: [e], select: best}
        - {name: d, when: "keyword:l", models: [a], plugins: {header_mutation: {add: [{}]}}}
    entrypoints: [{names: [x], recipe: y}]
    """
    assert [p.partition(": ")[0] for p in problems(text)] == [
        "models.a.reasoning_family",
        "models.b.endpoints",
        "models.b.credential",
        "routing.default_model",
        "routing.decisions[0].select",
        "routing.decisions[0].models[0]",
        "routing.decisions[1].name",
        "routing.decisions[1].plugins.header_mutation.add[0].name",
        "routing.decisions[1].plugins.header_mutation.add[0].value",
        "routing.signals.keyword.k.keywords",
        "routing.signals.nonsense",
        "routing.decisions[1].when",
        "entrypoints[0].recipe",
    ]


def test_a_key_is_never_in_a_problem() -> None:
    found = problems("models: {a: {endpoints: [h], headers: {authorization: Bearer sk-secret}}}")
    assert "sk-secret" not in " ".join(found)


# What comes out


def test_somebody_elses_envoy_may_know_where_the_models_are() -> None:
    found = compiled("models: {big: {}}", needs_endpoints=False)
    assert found.concrete["big"].target.base_path == "/v1"


def test_keys_are_not_needed_to_check_a_configuration() -> None:
    settings = RouterSettings.model_validate(parse(A4, {}))
    credential = compile_policy(settings).concrete["gpt-4o-mini"].target.credential
    assert credential is not None
    assert credential.value == ""


def test_only_the_signals_that_decisions_read_are_built() -> None:
    recipe = compiled(A4).recipes["default"]
    assert recipe.signals["domain"][1] == ("computer science", "math")
    assert recipe.every_signal["domain"][1] == ("computer science", "math", "other")


def test_every_name_leads_somewhere() -> None:
    found = compiled(
        "models: {big: {endpoints: [h], aliases: [gpt-4], loras: [law]}}\n"
        "recipes: {fast: {default_model: big}}\n"
        "entrypoints: [{names: [f, g], recipe: fast}]"
    )
    assert list(found.concrete) == ["big", "gpt-4", "law"]
    assert {name: recipe.name for name, recipe in found.virtual.items()} == {
        "auto": "default",
        "MoM": "default",
        "f": "fast",
        "g": "fast",
    }
    assert [t.name for t in found.targets] == ["big"]


def test_one_model_shared_by_names_has_one_target() -> None:
    found = compiled(
        "models: {big: {endpoints: [h], aliases: [x]}}\nrouting: {default_model: big}"
    )
    default = found.recipes["default"].default
    assert default is not None
    assert found.concrete["big"].target is found.concrete["x"].target is default.served.target


def test_compiling_twice_gives_policies_that_share_nothing_that_changes() -> None:
    first, second = compiled(A4), compiled(A4)
    assert first.listing == second.listing
    assert first.recipes["default"] is not second.recipes["default"]


def test_a_store_that_is_wrong_is_told_once() -> None:
    text = (
        MODEL
        + "stores: {shared: {redis: {url: 'here:6379'}}}\n"
        + "routing: {decisions: [{name: d, models: [big], plugins: "
        + "{response_cache: {store: shared}}}]}"
    )
    (told,) = problems(text)
    assert told.startswith("stores.shared.redis.url: ")
