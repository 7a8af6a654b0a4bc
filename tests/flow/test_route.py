"""A request that asks the router to choose (A4-35, A4-37, A4-38, A4-39)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.flow.driving import A4, chat, forwarded, outcome, policy, post
from wayside.decisions import Decider
from wayside.flow import Choice, Option, Recipe, choose, read_signals, served
from wayside.selection import Candidate
from wayside.vocab.ask import Ask, Classify, Failure, Flow, ask
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Target
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import SignalRef, Verdict

SEED = policy(A4)
LINUX = "How do I list the open files of a process in Linux?"


def about(label: str, probability: float = 0.9) -> Callable[[Any], Any]:
    """A classifier that sees ``label`` in everything."""

    def answer(question: Any) -> Any:
        assert isinstance(question, Classify)
        rest = "other" if label != "other" else "law"
        return ((label, probability), (rest, 1 - probability))

    return answer


@pytest.mark.parametrize(
    ("text", "label", "decision", "model"),
    [
        (LINUX, "computer science", "computer_science", "llama3-8b"),  # A4-35
        ("2+2 is", "math", "math", "gpt-4o-mini"),  # A4-37
    ],
)
def test_a_prompt_goes_where_its_domain_leads(
    text: str, label: str, decision: str, model: str
) -> None:
    found = forwarded(SEED, post(chat("auto", text)), about(label))
    assert found.target.name == model
    assert json.loads(found.body)["model"] == model
    assert dict(found.report)["x-vsr-selected-decision"] == decision
    assert dict(found.set_headers)["x-selected-model"] == model
    assert found.record.category == label
    assert found.record.confidence == pytest.approx(0.9)


def test_auto_rewrites_the_model_and_no_other_byte() -> None:  # A4-39
    raw = (
        b'{"max_tokens":100,"temperature":0,"model":"auto","top_p":1.0,"seed":1e400,'
        b'"messages":[{"role":"user","content":"2+2 is","x":"\\u0041"}],"user":"\\/"}'
    )
    found = forwarded(SEED, post(raw), about("math"))
    assert found.changed
    assert found.body == raw.replace(b'"auto"', b'"gpt-4o-mini"')


def test_the_key_of_the_chosen_provider_goes_along_and_no_other() -> None:  # A4-27
    math = forwarded(SEED, post(chat("auto")), about("math"))
    linux = forwarded(SEED, post(chat("auto")), about("computer science"))
    assert dict(math.set_headers)["authorization"] == "Bearer sk-ours"
    assert "authorization" not in dict(linux.set_headers)
    assert "authorization" in linux.remove_headers


@pytest.mark.parametrize("name", ["auto", "MoM"])
def test_either_name_asks_for_a_choice(name: str) -> None:
    assert forwarded(SEED, post(chat(name)), about("math")).target.name == "gpt-4o-mini"


def test_nothing_matched_is_the_default_model() -> None:
    found = forwarded(SEED, post(chat("auto", "hm")), about("law"))
    assert found.target.name == "llama3-8b"
    report = dict(found.report)
    assert report["x-vsr-selected-decision"] == ""
    assert report["x-vsr-selected-algorithm"] == "default"
    assert report["x-vsr-selected-confidence"] == "0.0000"


def test_a_body_whose_name_is_right_already_is_not_touched() -> None:
    seed = policy(
        "models: {big: {endpoints: [h], upstream_name: auto}}\nrouting: {default_model: big}"
    )
    request = post(chat("auto"))
    found = forwarded(seed, request)
    assert found.body is request.body
    assert not found.changed


def test_without_a_default_model_the_client_is_told() -> None:
    seed = policy("models: {big: {endpoints: [h]}}")
    with pytest.raises(RequestError, match="no decision matched") as caught:
        outcome(seed, post(chat("auto")))
    assert (caught.value.status, caught.value.code) == (400, "no_model_selected")


def test_a_decision_without_models_uses_the_default_and_its_plugins() -> None:
    seed = policy("""
    models: {big: {endpoints: [h]}}
    routing:
      default_model: big
      decisions:
        - name: all
          plugins:
            system_prompt: {prompt: be kind}
            header_mutation: {add: [{name: a, value: b}]}
    """)
    found = forwarded(seed, post(chat("auto")))
    assert json.loads(found.body)["messages"][0] == {"role": "system", "content": "be kind"}
    assert dict(found.set_headers)["a"] == "b"
    assert dict(found.report)["x-vsr-selected-decision"] == "all"
    assert found.record.algorithm == "default"


def test_plugins_do_not_run_where_nothing_matched() -> None:
    seed = policy("""
    models: {big: {endpoints: [h]}}
    routing:
      default_model: big
      signals: {keyword: {k: {keywords: [urgent]}}}
      decisions: [{name: d, when: "keyword:k", plugins: {system_prompt: {prompt: hurry}}}]
    """)
    quiet = forwarded(seed, post(chat("auto", "slowly")))
    assert b"hurry" not in quiet.body
    assert b"hurry" in forwarded(seed, post(chat("auto", "urgent"))).body


def test_plugins_run_in_the_order_written() -> None:
    plugins = "header_mutation: {update: [{name: a, value: b}], delete: [c]}"
    seed = policy(f"""
    models: {{big: {{endpoints: [h]}}}}
    routing:
      decisions: [{{name: d, models: [big], plugins: {{{plugins}}}}}]
    """)
    found = forwarded(seed, post(chat("auto"), {"a": "theirs"}))
    assert dict(found.set_headers)["a"] == "b"
    assert "c" in found.remove_headers
    assert json.loads(found.body) == chat("big")


def test_an_adapter_is_asked_for_by_name_at_its_models_servers() -> None:
    seed = policy("""
    models: {big: {endpoints: [h], upstream_name: org/big, loras: [law]}}
    routing: {decisions: [{name: d, models: [{model: big, lora: law}]}]}
    """)
    found = forwarded(seed, post(chat("auto")))
    assert json.loads(found.body)["model"] == "law"
    assert found.target.name == "big"
    assert dict(found.set_headers)["x-selected-model"] == "big"
    assert dict(found.report)["x-vsr-selected-model"] == "law"


@pytest.mark.parametrize(("dice", "model"), [(0.0, "a"), (0.24, "a"), (0.26, "b"), (0.99, "b")])
def test_the_dice_come_from_outside(dice: float, model: str) -> None:
    seed = policy("""
    models: {a: {endpoints: [h]}, b: {endpoints: [h]}}
    routing:
      decisions: [{name: d, select: weighted, models: [a, {model: b, weight: 3}]}]
    """)
    found = forwarded(seed, post(chat("auto")), dice=dice)
    assert found.target.name == model
    assert dict(found.report)["x-vsr-selected-algorithm"] == "weighted"


def test_completions_are_routed_too() -> None:
    found = forwarded(
        SEED, post({"model": "auto", "prompt": "2+2"}, path="/v1/completions"), about("math")
    )
    assert json.loads(found.body) == {"model": "gpt-4o-mini", "prompt": "2+2"}
    assert found.path == "/v1/completions"


def test_embeddings_are_not() -> None:
    with pytest.raises(RequestError, match="concrete model"):
        outcome(SEED, post({"model": "auto", "input": "x"}, path="/v1/embeddings"))


# Recipes

RECIPES = policy("""
models: {a: {endpoints: [h]}, b: {endpoints: [h]}}
routing:
  default_model: a
  signals: {domain: {math: {labels: [math]}}}
  decisions: [{name: d, when: "domain:math", models: [b]}]
recipes:
  plain: {default_model: b}
  words:
    signals: {keyword: {k: {keywords: [x]}}}
    decisions: [{name: d, when: "keyword:k", models: [b]}]
entrypoints: [{names: [plain-auto], recipe: plain}, {names: [words-auto, w], recipe: words}]
""")


def test_a_recipe_reads_its_own_signals_only() -> None:
    assert forwarded(RECIPES, post(chat("plain-auto"))).target.name == "b"
    assert forwarded(RECIPES, post(chat("w", "x"))).target.name == "b"
    assert (
        dict(forwarded(RECIPES, post(chat("w", "x"))).report)["x-vsr-selected-recipe"] == "words"
    )


def test_a_recipe_without_a_default_has_the_main_one() -> None:
    assert forwarded(RECIPES, post(chat("words-auto", "y"))).target.name == "a"


# Failures


@pytest.mark.parametrize(
    ("on_unknown", "model"), [("no_match", "llama3-8b"), ("match", "gpt-4o-mini")]
)
def test_a_signal_nobody_answers_is_open_or_closed_as_the_decision_says(
    on_unknown: str, model: str
) -> None:
    seed = policy(
        A4.replace('when: "domain:math"', f'on_unknown: {on_unknown}, when: "domain:math"')
    )
    found = forwarded(seed, post(chat("auto")), lambda q: Failure("timed out"))
    assert found.target.name == model


def test_a_decision_may_fail_the_request_instead() -> None:
    seed = policy(
        A4.replace('when: "domain:math"', 'on_unknown: fail_request, when: "domain:math"')
    )
    with pytest.raises(RequestError) as caught:
        outcome(seed, post(chat("auto")), lambda q: Failure("timed out"))
    error = caught.value
    assert (error.status, error.kind, error.code) == (503, "server_error", "signal_unavailable")
    assert str(error) == ("Decision 'math' could not be evaluated: no answer from domain:math.")


def test_one_signal_failing_leaves_the_others() -> None:
    seed = policy("""
    models: {a: {endpoints: [h]}, b: {endpoints: [h]}}
    routing:
      default_model: a
      signals:
        domain: {m: {labels: [math]}}
        language: {de: {languages: [de]}}
        keyword: {k: {keywords: [x]}}
      decisions:
        - {name: german, when: "language:de", models: [b]}
        - {name: sums, when: {all: ["domain:m", "keyword:k"]}, models: [b]}
    """)

    def answer(question: Any) -> Any:
        return Failure("gone") if isinstance(question, Classify) else (("de", 0.9),)

    found = forwarded(seed, post(chat("auto", "x")), answer)
    assert found.record.decision == "german"
    assert found.record.verdicts[SignalRef("domain", "m")].unknown
    assert found.record.verdicts[SignalRef("domain", "m")].because == "gone"


class Asking:
    """A signal that asks, for the parts of the flow no kind of ours exercises."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def read(self, prompt: Prompt) -> Flow[dict[str, Verdict]]:
        found = {}
        for text in self.texts:
            found[text] = Verdict(True, because=str((yield from ask(Classify(text, "h")))))
        return found


class Saying:
    def read(self, prompt: Prompt) -> dict[str, Verdict]:
        return {"s": Verdict(True)}


def test_asks_of_all_kinds_travel_together() -> None:
    flow = read_signals(
        {
            "a": (Asking("x", "z"), ("x", "z")),
            "s": (Saying(), ("s",)),
            "b": (Asking("x", "y"), ("x", "y")),
        },
        Prompt(model="auto"),
    )
    assert next(flow) == (Classify("x", "h"),)
    assert flow.send((1,)) == (Classify("z", "h"), Classify("y", "h"))
    with pytest.raises(StopIteration) as stop:
        flow.send((2, 3))
    verdicts = stop.value.value
    assert {str(ref): v.because for ref, v in verdicts.items()} == {
        "a:x": "1",
        "a:z": "2",
        "b:x": "1",
        "b:y": "3",
        "s:s": "",
    }


class Thinking:
    """A selector that has to ask first."""

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Flow[Candidate]:
        return candidates[(yield from ask(Classify(prompt.question, "which")))]


@pytest.mark.parametrize(("answer", "model"), [(1, "b"), (0, "a"), (Failure("gone"), "a")])
def test_an_algorithm_that_gets_no_answer_takes_the_first_candidate(
    answer: Any, model: str
) -> None:
    seed = policy("""
    models: {a: {endpoints: [h]}, b: {endpoints: [h]}}
    routing: {decisions: [{name: d, models: [a, b]}]}
    """)
    recipe = seed.recipes["default"]
    thinking = Recipe(
        name="r",
        signals={},
        decider=recipe.decider,
        selectors={"d": ("thinking", Thinking())},  # type: ignore[dict-item]
        options=recipe.options,
        default=None,
        every_signal={},
    )
    flow = choose(thinking, Prompt(model="auto", question="q"), 0.0)
    assert next(flow) == (Classify("q", "which"),)
    with pytest.raises(StopIteration) as stop:
        flow.send((answer,))
    choice = stop.value.value
    assert isinstance(choice, Choice)
    assert choice.option.candidate.model == model
    assert choice.algorithm == "thinking"


def test_a_recipe_is_data_that_can_be_made_by_hand() -> None:
    option = Option(served(Target(name="m", upstream_name="m"), "", "m"), Candidate("m"), ())
    recipe = Recipe("r", {}, Decider(()), {}, {}, option, {})
    flow = choose(recipe, Prompt(model="auto"), 0.0)
    with pytest.raises(StopIteration) as stop:
        next(flow)
    assert stop.value.value.option is option


def test_what_the_classifier_was_unsure_of_is_other() -> None:
    seed = policy(A4 + '    - {name: rest, when: "domain:other", models: [llama3-8b]}\n')
    found = forwarded(seed, post(chat("auto")), about("math", 0.3))
    assert found.record.category == "other"
    assert found.record.decision == "rest"


def test_an_ask_is_the_only_way_out() -> None:
    asked: list[Ask[Any]] = []

    def answer(question: Any) -> Any:
        asked.append(question)
        return (("math", 0.9),)

    forwarded(SEED, post(chat("auto", "2+2 is")), answer)
    assert asked == [Classify("2+2 is", "domain")]
