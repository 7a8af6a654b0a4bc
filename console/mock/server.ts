/** A server that is invented, for work on the pages alone: `MOCK=1 npm run dev`. Never shipped. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Plugin } from "vite";
import type { LineMap, LiveState, Me, Overview, Passed, Played } from "../src/api/types.ts";

const ME: Me = { name: "mock", role: "admin", csrf: "x", version: "0.0", has: { access: true, replay: true, cache: true, evaluation: true, writable: true } };

const MAP: LineMap = {
  recipes: [
    {
      name: "default",
      signals: ["domain:code", "domain:exact", "domain:care", "keyword:code_words", "keyword:urgent", "language:not_english", "context:long", "jailbreak:attack", "pii:secrets"].map((one) => {
        const [kind = "", name = ""] = one.split(":");
        return { kind, name };
      }),
      decisions: [
        decision("attack", 100, ["jailbreak:attack"], []),
        decision("keep-it-here", 90, ["pii:secrets"], ["qwen3-4b"]),
        decision("programming", 30, ["domain:code", "keyword:code_words"], ["llama3-8b"]),
        decision("exact-sciences", 20, ["domain:exact"], ["gpt-4o-mini"]),
        decision("careful-subjects", 20, ["domain:care"], ["gpt-4o-mini"]),
        decision("long-or-urgent", 10, ["context:long", "keyword:urgent", "language:not_english"], ["gpt-4o-mini"]),
      ],
    },
  ],
  models: [
    { name: "qwen3-4b", endpoints: ["http://10.0.0.4:8000"], local: true },
    { name: "llama3-8b", endpoints: ["http://10.0.0.5:8000", "http://10.0.0.6:8000"], local: true },
    { name: "gpt-4o-mini", endpoints: ["https://api.openai.com"], local: false },
  ],
};

function decision(name: string, priority: number, signals: string[], models: string[]) {
  return { name, priority, signals, models, algorithm: "first", plugins: [] };
}

const WAYS: [number, string, string[], string, string, string][] = [
  [30, "programming", ["domain:code"], "llama3-8b", "http://10.0.0.5:8000", "model"],
  [20, "programming", ["domain:code", "keyword:code_words"], "llama3-8b", "http://10.0.0.6:8000", "model"],
  [20, "exact-sciences", ["domain:exact"], "gpt-4o-mini", "https://api.openai.com", "model"],
  [8, "exact-sciences", ["domain:exact"], "gpt-4o-mini", "", "cache"],
  [12, "careful-subjects", ["domain:care"], "gpt-4o-mini", "https://api.openai.com", "model"],
  [3, "attack", ["jailbreak:attack"], "", "", "fast_response"],
  [5, "keep-it-here", ["pii:secrets", "domain:care"], "qwen3-4b", "http://10.0.0.4:8000", "model"],
  [35, "", ["language:not_english"], "qwen3-4b", "http://10.0.0.4:8000", "model"],
];

let next = 0;
function invent(at: number): Passed {
  let dice = (Math.sin(++next * 12.9898) * 43758.5453) % 1;
  dice = Math.abs(dice) * WAYS.reduce((sum, [weight]) => sum + weight, 0);
  const found = WAYS.find(([weight]) => (dice -= weight) < 0) ?? WAYS[0];
  const [, decision, signals, model, endpoint, path] = found as (typeof WAYS)[number];
  const bad = next % 31 === 0;
  return {
    id: `req-${next}`, at, requested: "auto", signals, decision, algorithm: "first", model, endpoint, path: bad ? "error" : path,
    status: bad ? 502 : 200, reason: bad ? "upstream" : "", why: `${decision || "no decision"}: ${signals.join(", ")} matched`,
    total_ms: 80 + (next % 17) * 22, routing_ms: 1.2 + (next % 7) / 5, first_byte_ms: 41, prompt_tokens: 20 + (next % 40), completion_tokens: 60,
    cost: 0.00004, attempts: 1, replay: next % 2 === 0,
  };
}

function overview(): Overview {
  const now = Date.now() / 1000;
  return {
    currency: "USD", requests: 1843, errors: 21, in_flight: 4, p50_ms: 212, p95_ms: 431, p99_ms: 820, routing_p50_ms: 1.8, routing_p99_ms: 6.1,
    cost: 0.0823, saved: 0.2311, cache_hits: 132,
    series: Array.from({ length: 90 }, (_, i) => ({ at: now - (90 - i) * 10, requests: 18 + 9 * Math.sin(i / 7) + (i % 5), errors: i % 23 === 0 ? 2 : 0, p95_ms: 400 + 90 * Math.sin(i / 11), cost: 0.001 })),
    last: Array.from({ length: 120 }, (_, i) => invent(now - 2 * i)),
    config: { path: "wayside.yaml", digest: "abc", generation: 1, loaded_at: now - 500, error: null, needs_restart: [] },
  };
}

const PLAYED: Played = {
  decision: {}, model: "llama3-8b", decided: "programming", why: "programming matched by domain:code; llama3-8b is its only model", took_ms: 2.4,
  signals: [
    { kind: "domain", name: "code", matched: true, unknown: false, score: 0.83, threshold: 0.4, because: "computer science 0.83", ms: 1.4 },
    { kind: "domain", name: "exact", matched: false, unknown: false, score: 0.09, threshold: 0.4, because: "math 0.09", ms: 0 },
    { kind: "keyword", name: "code_words", matched: true, unknown: false, score: null, threshold: null, because: "found 'regex'", ms: 0.02 },
    { kind: "language", name: "not_english", matched: false, unknown: false, score: 0.02, threshold: 0.5, because: "en 0.98", ms: 0.1 },
    { kind: "jailbreak", name: "attack", matched: false, unknown: true, score: null, threshold: null, because: "the engine gave no answer", ms: 5 },
  ],
  decisions: [
    { name: "attack", matched: false, confidence: 0, priority: 100, chosen: false, why: "jailbreak:attack did not match" },
    { name: "programming", matched: true, confidence: 0.83, priority: 30, chosen: true, why: "any of domain:code, keyword:code_words" },
    { name: "exact-sciences", matched: false, confidence: 0.09, priority: 20, chosen: false, why: "domain:exact did not match" },
  ],
  models: [
    { name: "llama3-8b", chosen: true, score: 0.92, allowed: true, why: "the only model of this decision" },
    { name: "gpt-4o-mini", chosen: false, score: 0.41, allowed: true, why: "dearer" },
    { name: "big", chosen: false, score: null, allowed: false, why: "your tier does not have it" },
  ],
  otherwise: [
    { change: "without the word 'regex' and domain:code below 0.4", decision: "", model: "qwen3-4b" },
    { change: "domain:exact at 0.4 or more and programming removed", decision: "exact-sciences", model: "gpt-4o-mini" },
  ],
};

const now = Date.now() / 1000;
const REPLAYS = Array.from({ length: 30 }, (_, i) => ({
  id: `replay_req-${i}`, timestamp: now - i * 60, decision: WAYS[i % WAYS.length]?.[1], selected_model: WAYS[i % WAYS.length]?.[3], requested_model: "auto", user: i % 3 ? "" : "ann",
  signals: { domain: ["code"], keyword: ["code_words"] }, response_path: "upstream", response_status: 200, complete: true, seconds: 0.2 + i / 90, usage: { prompt_tokens: 21, completion_tokens: 60, total_tokens: 81 },
  cost: 0.00004, currency: "USD", request_body: '{"model":"auto","messages":[{"role":"user","content":"why does my regex not match across lines??"}]}',
  response_body: '{"choices":[{"message":{"role":"assistant","content":"Because the dot does not match a line break."}}]}',
}));

const ANSWERS: Record<string, () => unknown> = {
  "/me": () => ME,
  "/login": () => ME,
  "/logins": () => ({ token: true, oidc: { url: "/x", name: "Example" } }),
  "/map": () => MAP,
  "/overview": overview,
  "/playground": () => PLAYED,
  "/playground/ask": () => ({ text: "Because the dot does not match a line break.", model: "llama3-8b", status: 200, headers: { "x-vsr-selected-model": "llama3-8b" }, total_ms: 213, prompt_tokens: 20, completion_tokens: 40, cost: 0.00002 }),
  "/replays": () => ({ data: REPLAYS.slice(0, 20), count: 20, offset: 0, limit: 20, has_more: true }),
};

export function mock(): Plugin {
  return {
    name: "mock",
    configureServer(server) {
      server.middlewares.use("/console/api", (request: IncomingMessage, answer: ServerResponse) => {
        const path = (request.url ?? "").split("?")[0] ?? "";
        if (path === "/live") return live(request, answer);
        const body = ANSWERS[path]?.() ?? (path.endsWith("/again") ? { before: { decision: "programming", model: "llama3-8b" }, after: PLAYED } : path.startsWith("/replays/") ? REPLAYS[3] : undefined);
        answer.setHeader("content-type", "application/json");
        answer.statusCode = body ? 200 : 404;
        answer.end(JSON.stringify(body ?? { error: { code: "NOT_FOUND", message: "not invented" } }));
      });
    },
  };
}

function live(request: IncomingMessage, answer: ServerResponse): void {
  answer.writeHead(200, { "content-type": "text/event-stream" });
  const say = (event: string, data: unknown) => answer.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  const timers = [
    setInterval(() => say("passed", [invent(Date.now() / 1000)]), 260),
    setInterval(() => say("state", { at: 0, in_flight: 3, requests_per_s: 3.8, errors_per_s: 0.1, missed: 0 } satisfies LiveState), 1000),
  ];
  request.on("close", () => timers.forEach(clearInterval));
}
