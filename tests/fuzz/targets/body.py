"""Request bodies through the whole core: every dialect, every signal, every plugin.

The first byte chooses the path, the second headers and method; the rest is the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Coroutine
from itertools import cycle
from typing import Any

import yaml

from tests.fuzz.targets import check
from wayside.catalog import catalog
from wayside.engines import Engines
from wayside.gateway.replies import encode_pairs
from wayside.runtime import Runtime, compile_policy
from wayside.settings import RouterSettings
from wayside.settings.load import parse
from wayside.stores import Stores
from wayside.vocab.ask import Failure
from wayside.vocab.outcome import Forward, Reply, Request
from wayside.vocab.pictures import Draw

WORDS = (
    b'{"model":"auto","messages":[',
    b'{"role":"user","content":',
    b'{"role":"system","content":[{"type":"text","text":"x"}]}',
    b'{"type":"image_url","image_url":{"url":"x"}}',
    b'"tool_calls":[{}]',
    b'"tools":[{"type":"function","function":{"name":"f"}}]',
    b'"metadata":{"tier":"gold"}',
    b'"stream":true',
    b'"chat_template_kwargs":{"a":1}',
    b'"reasoning_effort":"low"',
    b'"prompt":["a","b"]',
    b'"model":"big"',
    b'"model":"think-b"',
    b'"max_tokens":9',
    b'"input":[{"type":"message","role":"user","content":',
    b'{"type":"tool_use","id":"a","name":"f","input":{}}',
    b'{"type":"tool_result","tool_use_id":"a","content":[]}',
    b'"previous_response_id":"resp_1"',
    b"\\u0061",
    b"\\ud800",
    b"1e999",
    b"-0",
    b"null",
    b"[[[[[[[[[[[[[[[[",
)

PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/chat/completions?x=1",
    "/v1/models/%ff",
    "/v1/nothing",
)
TRANSLATED = ("/v1/messages", "/v1/responses")
"""Clients of other APIs: what goes upstream is not what came."""
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"x-vsr-debug": "true"},
    {"x-tenant": "a", "authorization": "Bearer x"},
)

POLICY = """
models:
  small: {endpoints: ["http://a:1"]}
  big: {endpoints: ["https://b/base"], upstream_name: other, aliases: [large], loras: [tuned]}
  think-a: {endpoints: ["http://a:1"], reasoning_family: kwargs}
  think-b: {endpoints: ["http://a:1"], reasoning_family: effort}
  think-c: {endpoints: ["http://a:1"], reasoning_family: top, effort_at_top_level: true}
  think-d: {endpoints: ["http://a:1"], reasoning_family: deepseek}
reasoning_families:
  kwargs: {type: chat_template_kwargs, parameter: enable_thinking}
  effort: {type: reasoning_effort, parameter: reasoning_effort}
  top: {type: top_level_reasoning_effort, parameter: reasoning_effort}
  deepseek: {type: thinking, parameter: thinking}
routing:
  default_model: small
  signals:
    context: {long: {min_tokens: 200}}
    conversation:
      turns: {feature: {type: count, source: {type: message, role: user}}, predicate: {gte: 2}}
      tools: {feature: {type: count, source: {type: tool_definition}}, predicate: {gte: 1}}
      loop: {feature: {type: exists, source: {type: active_tool_loop}}}
      cycles: {feature: {type: count, source: {type: assistant_tool_cycle}}, predicate: {gte: 1}}
      image: {feature: {type: exists, source: {type: image_content}}}
    domain: {sums: {labels: [math, physics], threshold: 0.4}, rest: {labels: [other]}}
    keyword:
      urgent: {keywords: [urgent, a, "right now"]}
      secret: {keywords: ['\\b\\d{3}-\\d{2}\\b', '(api|access)[ _-]?key', '.*x'], method: regex}
      fuzzy: {keywords: [credit card, invoice], method: fuzzy, fuzzy_threshold: 70}
      system: {keywords: [tutor], scope: system}
    language: {german: {languages: [de]}, east: {languages: [zh, ja], threshold: 0.2}}
    metadata: {gold: {key: tier, predicate: {equals: gold}}}
    structure:
      questions:
        feature: {type: count, source: {type: regex, pattern: '[?]'}}
        predicate: {gte: 2}
      ordered:
        feature: {type: sequence, source: {type: sequence, sequences: [[first, then]]}}
      dense:
        feature: {type: density, source: {type: keyword_set, keywords: [at most, x]}}
        predicate: {gt: 0.1}
      words: {feature: {type: count, source: {type: words}}, predicate: {gte: 9}}
      sentences: {feature: {type: count, source: {type: sentences}}, predicate: {gte: 3}}
      lines: {feature: {type: count, source: {type: lines}}, predicate: {gte: 3}}
      bytes: {feature: {type: count, source: {type: text_bytes}}, predicate: {lt: 3}}
  decisions:
    - name: gold
      when: metadata:gold
      models: [big, small]
      select: weighted
      plugins:
        system_prompt: {prompt: "Say ü.", mode: insert}
        header_mutation: {add: [{name: x-tenant, value: b}], delete: [x-legacy]}
    - name: sums
      when: {any: [domain:sums, structure:questions, structure:dense]}
      models: [{model: think-a, reasoning: true}, {model: think-b, reasoning: false}]
      select: weighted
      plugins: {system_prompt: {prompt: "A tutor.", mode: replace}}
    - name: words
      when: {any: [keyword:urgent, keyword:secret, keyword:fuzzy, keyword:system]}
      models: [{model: think-c, reasoning: true}, {model: think-c, reasoning: false}]
      select: weighted
    - name: tongues
      when: {any: [language:german, language:east, structure:ordered, structure:words]}
      models: [{model: think-d, reasoning: true}, {model: big}]
      select: weighted
      plugins: {system_prompt: {prompt: "Replace.", mode: replace}}
    - name: talk
      when:
        any: [context:long, conversation:turns, conversation:tools, conversation:loop,
              conversation:cycles, conversation:image, structure:lines]
      models: [{model: think-b, reasoning: true, effort: high}, {model: big, lora: tuned}]
      select: weighted
    - name: rest
      when: {all: [domain:rest, {not: structure:bytes}, structure:sentences]}
      models: [big]
"""
TOUCHED = frozenset({
    "model", "messages", "chat_template_kwargs", "reasoning_effort", "thinking", "stream_options",
})  # fmt: skip


def everything() -> dict[str, Any]:
    """A policy with every signal there is and every plugin, made of their examples."""
    examples = {
        (kind.family, kind.name): yaml.safe_load(
            re.findall(r"Example: ``(.+?)``", kind.settings.__doc__ or "", re.S)[0]
        )
        for family in ("signal", "plugin")
        for kind in catalog.family(family)
    }
    signals = [name for family, name in examples if family == "signal"]
    plugins = [name for family, name in examples if family == "plugin"]
    decisions = [
        {
            "name": f"{plugin} after {signal}",
            "when": {"any": [f"{signal}:it", {"not": f"{other}:it"}]},
            "models": ["m"],
            "plugins": {plugin: examples["plugin", plugin]},
        }
        for plugin, signal, other in zip(plugins, cycle(signals), cycle(signals[1:]), strict=False)
    ]
    decisions += [{"name": signal, "when": f"{signal}:it", "models": ["m"]} for signal in signals]
    return {
        "models": {"m": {"endpoints": ["http://a:1"]}},
        "engines": {"pictures": {"openai_images": {"base_url": "http://p:1/v1", "model": "p"}}},
        "stores": {"docs": {"memory": {}}},
        "identity": {"trusted": True},
        "guard_recipe": "default",
        "routing": {
            "default_model": "m",
            "signals": {name: {"it": examples["signal", name]} for name in signals},
            "decisions": decisions,
        },
    }


def _runtime(document: dict[str, Any]) -> Runtime:
    policy = compile_policy(RouterSettings.model_validate(document), created=1)
    answerers = {**_engines.answerers(), **_stores.answerers(), Draw: _nothing}
    return Runtime(policy, answerers, lambda: _dice[0])


def _nothing(question: Draw) -> Failure:
    return Failure("nobody draws here")


_dice = [0.0]
_engines = Engines()
_stores = Stores({"docs": {"memory": {}}})
_run = _runtime(parse(POLICY, {}))
_all = _runtime(everything())


def run(data: bytes) -> None:
    if len(data) < 2:
        return
    path = PATHS[data[0] % len(PATHS)]
    if data[0] >= 0xF0:
        path = TRANSLATED[data[0] % len(TRANSLATED)]
    headers = HEADERS[data[1] % len(HEADERS)]
    method = "GET" if data[1] >= 0xF0 else "POST"
    _dice[0] = (data[1] >> 4 & 3) / 4
    body = data[2:]
    request = Request(method, path, headers, body)
    _survives(_all.handle(request))
    outcome = _run.handle(request)
    check(not isinstance(outcome, Awaitable), "built-in engines never have to be waited for")
    if path in TRANSLATED:
        _survives(outcome)
    elif isinstance(outcome, Reply):
        _proper_reply(outcome)
    elif isinstance(outcome, Forward):
        encode_pairs(outcome.set_headers)
        encode_pairs(outcome.report)
        _same_but_for_our_fields(body, outcome)


def _survives(outcome: Any) -> None:
    """With every signal and plugin: an outcome that the shells can send."""
    if isinstance(outcome, Coroutine):
        outcome.close()  # a long text went to another thread; the loop is not here
    elif isinstance(outcome, Reply):
        encode_pairs(outcome.report)
    elif isinstance(outcome, Forward):
        encode_pairs(outcome.set_headers)
        encode_pairs(outcome.report)
        if outcome.changed:
            json.loads(outcome.body.decode("utf-8", "surrogateescape"), strict=False)


def _proper_reply(reply: Reply) -> None:
    encode_pairs(reply.report)
    said = json.loads(reply.body)
    if reply.status >= 400:
        error = said["error"]
        check(set(error) == {"message", "type", "param", "code"}, "not OpenAI's error", said)
        check(isinstance(error["message"], str) and error["message"], "no message", said)
        check(reply.status < 500, "a client's mistake is called ours", reply.status, said)
    else:
        check(said["object"] in ("list", "model"), "not OpenAI's models", said)


def _same_but_for_our_fields(body: bytes, forward: Forward) -> None:
    """Only the fields that routing sets may differ, and both sides read the same ``model``."""
    check(forward.changed == (forward.body is not body), "changed says the wrong thing")
    before, after = _read(body), _read(forward.body)
    if before is None or after is None:  # the reference reader refuses it, and so will a server
        check(before is None or not forward.changed, "we made JSON that cannot be read", body)
        return
    asked = forward.record.requested
    check(before["model"] == asked, "two readings of model", before["model"], asked)
    check(
        after["model"] in (forward.target.upstream_name, asked, "tuned"),
        "the server reads another model",
        after["model"],
    )
    others = (set(before) | set(after)) - TOUCHED
    for name in others:
        check(name in before and name in after, "a field came or went", name)
        check(before[name] == after[name], "a field was changed", name, before[name])
    kwargs = before.get("chat_template_kwargs")
    if isinstance(kwargs, dict) and isinstance(after.get("chat_template_kwargs"), dict):
        for name, value in kwargs.items():
            if name not in ("enable_thinking", "reasoning_effort"):
                check(after["chat_template_kwargs"].get(name) == value, "a kwarg was lost", name)
    if before.get("messages") != after.get("messages"):
        _same_turns(before["messages"], after["messages"])


def _same_turns(before: list[Any], after: list[Any]) -> None:
    """All turns stay but one system turn, which is added, replaced or grows."""
    check(len(after) - len(before) in (0, 1), "turns came or went", before, after)
    if len(after) > len(before):
        check(after[0]["role"] == "system" and after[1:] == before, "turns changed", before, after)
        return
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    check(len(changed) == 1, "several turns changed", before, after)
    ((was, now),) = changed
    check(was["role"] in ("system", "developer"), "a turn of the talk changed", was, now)
    rest = {k: v for k, v in now.items() if k != "content"}
    check(rest == {k: v for k, v in was.items() if k != "content"}, "a turn lost a field", was)


_HALVES = re.compile(
    r"(\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w)|\\u[dD][89a-fA-F]\w\w|(\\.)", re.DOTALL
)


def _read(body: bytes) -> Any:
    """As Python's own reader sees it, numbers as written; ``None`` if it does not.

    Half an escaped surrogate pair counts as U+FFFD, which is what an edited body has instead.
    """
    text = body.decode("utf-8", "surrogateescape")
    try:
        return json.loads(
            _HALVES.sub(lambda found: found[1] or found[2] or "\\ufffd", text),
            parse_int=str,
            parse_float=str,
            parse_constant=str,
            strict=False,
        )
    except (ValueError, RecursionError):
        return None
