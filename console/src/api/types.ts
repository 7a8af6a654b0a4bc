/**
 * What the console and its server say to each other: JSON under `/console/api`.
 *
 * The server's half is `src/wayside/console/`; a test compares the two. Times are seconds since
 * 1970 unless a name says otherwise, costs are in `currency`. A request that changes anything
 * carries `x-wayside-csrf` (of `Me`). Errors are `{error: {code, message, timestamp}}`.
 */

export type Role = "viewer" | "operator" | "admin";

/** GET /me (401 before a login). POST /login {token} answers it, too; POST /logout ends it. */
export interface Me {
  name: string;
  role: Role;
  csrf: string;
  version: string;
  /** What this router has, so that a page can say how to have it where it does not. */
  has: { access: boolean; replay: boolean; cache: boolean; evaluation: boolean; writable: boolean };
}

/** GET /logins (open to all): how one may log in. */
export interface Logins {
  token: boolean;
  /** Where to go to log in with the identity provider; absent where there is none. */
  oidc?: { url: string; name: string };
}

/** One request, as soon as it has ended. No prompt: that is in a replay, if one is kept. */
export interface Passed {
  id: string;
  at: number;
  requested: string;
  /** Of those that matched: `kind:name`. */
  signals: string[];
  decision: string;
  algorithm: string;
  model: string;
  endpoint: string;
  status: number;
  reason: string;
  /** `model`, `cache`, `fast_response`, `looper`, `error`. */
  path: string;
  why: string;
  total_ms: number;
  routing_ms: number;
  first_byte_ms: number | null;
  prompt_tokens: number;
  completion_tokens: number;
  cost: number;
  attempts: number;
  replay: boolean;
}

/** GET /live: server-sent events. `passed` holds `Passed[]` (at most ten a second, `missed` counts
 * the rest), `state` a `LiveState` each second. */
export interface LiveState {
  at: number;
  in_flight: number;
  requests_per_s: number;
  errors_per_s: number;
  missed: number;
}

/** GET /overview: the last fifteen minutes. */
export interface Overview {
  currency: string;
  requests: number;
  errors: number;
  in_flight: number;
  p50_ms: number;
  p95_ms: number;
  p99_ms: number;
  routing_p50_ms: number;
  routing_p99_ms: number;
  cost: number;
  /** Against the dearest model, and by the cache. */
  saved: number;
  cache_hits: number;
  /** 90 of them, one each ten seconds, the oldest first. */
  series: { at: number; requests: number; errors: number; p95_ms: number; cost: number }[];
  last: Passed[];
  config: { path: string; digest: string; generation: number; loaded_at: number; error: string | null; needs_restart: string[] };
}

/** GET /map: what the picture of the line is drawn from. */
export interface LineMap {
  recipes: {
    name: string;
    signals: { kind: string; name: string }[];
    decisions: { name: string; priority: number; signals: string[]; models: string[]; algorithm: string; plugins: string[] }[];
  }[];
  models: { name: string; endpoints: string[]; local: boolean }[];
}

/** POST /playground {messages, model?, tier?}: nobody is asked, it is only decided. `tier` is one of
 * `Access`: what of it its members get; absent, every model may answer. */
export interface Played {
  /** The answer of POST /api/v1/eval?trace=true. */
  decision: Record<string, unknown>;
  model: string;
  decided: string;
  why: string;
  took_ms: number;
  /** `ms` is what its kind took, all rules of it together. */
  signals: { kind: string; name: string; matched: boolean; unknown: boolean; score: number | null; threshold: number | null; because: string; ms: number }[];
  decisions: { name: string; matched: boolean; confidence: number; priority: number; chosen: boolean; why: string }[];
  models: { name: string; chosen: boolean; score: number | null; allowed: boolean; why: string }[];
  /** What would have sent it elsewhere, the least change first. */
  otherwise: { change: string; decision: string; model: string }[];
}
/** POST /playground/ask {messages, model?, key?} (role operator): really asked, and charged as any
 * request. `key` is a token or key for models, which is wanted where the router has `maas`. */
export interface Answered {
  text: string;
  model: string;
  status: number;
  headers: Record<string, string>;
  total_ms: number;
  prompt_tokens: number;
  completion_tokens: number;
  cost: number;
}

/** GET /config. `tree` is the file as JSON. */
export interface Config {
  path: string;
  format: string;
  text: string;
  tree: Record<string, unknown>;
  etag: string;
  writable: boolean;
  /** Why not. */
  readonly_because: string;
}
export interface Problem {
  where: string;
  message: string;
  fix: string;
  line: number | null;
}
/** POST /config/edit {text, edits: [{path: (string|number)[], value?}]} (no value: taken away). */
export interface Edited {
  text: string;
  tree: Record<string, unknown>;
}
/** POST /config/check {text}. */
export interface Checked {
  ok: boolean;
  problems: Problem[];
  /** Unified, against what is in force. */
  diff: string;
  added: number;
  removed: number;
  needs_restart: string[];
}
/** POST /config/rehearse {text, limit?}: what the recorded requests would have become. */
export interface Rehearsed {
  looked_at: number;
  /** Records without their bodies cannot be decided again. */
  without_text: number;
  same: number;
  moved: { id: string; text: string; before: Went; after: Went }[];
  by_model: { model: string; before: number; after: number }[];
  cost_before: number;
  cost_after: number;
  currency: string;
}
export interface Went {
  decision: string;
  model: string;
}
/** PUT /config {text, etag, note} and POST /config/rollback {version, etag} answer `Config`. */
/** GET /config/versions answers {versions: Version[]}, the newest first. GET
 * /config/versions/{version} answers {version, text, diff}. */
export interface Version {
  version: string;
  at: number;
  by: string;
  note: string;
  digest: string;
  in_force: boolean;
}
/** GET /catalog (as on the management API): the schemas that forms are drawn from. */
export interface Catalog {
  kinds: { family: string; name: string; summary: string; stability: string; schema: Record<string, unknown> }[];
  /** The schema of a whole file, with every kind in its place. */
  configuration: Record<string, unknown>;
}

/** GET /models. */
export interface Models {
  currency: string;
  models: {
    name: string;
    provider: string;
    local: boolean;
    price: { prompt: number; completion: number } | null;
    context: number | null;
    tiers: string[] | null;
    requests: number;
    errors: number;
    p95_ms: number | null;
    tokens: number;
    cost: number;
    replicas: {
      endpoint: string;
      /** `ready`, `standby`, `trial` (its pause is over), `ejected`, `draining`, `asleep`. */
      state: string;
      why: string;
      in_flight: number;
      waiting: number | null;
      running: number | null;
      kv_use: number | null;
      errors: number;
      p95_ms: number | null;
      scraped_at: number | null;
    }[];
  }[];
}

/** GET /costs: since the start. */
export interface Costs {
  currency: string;
  since: number;
  spent: number;
  /** What the dearest model would have cost for the same tokens; no name where none has a price. */
  biggest: { model: string; would_cost: number };
  /** `biggest.would_cost - spent`: of answers that models gave. */
  saved: number;
  /** On top of that: what answers from the cache would have cost with the model that was spared. */
  saved_by_cache: number;
  by_model: { model: string; requests: number; prompt_tokens: number; completion_tokens: number; cost: number; would_cost: number }[];
  by_decision: { decision: string; requests: number; cost: number; would_cost: number }[];
  /** At most 240 points; each is wider the longer the router runs. */
  series: { at: number; spent: number; would_cost: number }[];
  /** Spent with models whose price is in another currency; in none of the sums above. */
  elsewhere: { currency: string; spent: number }[];
}

/** GET /cache. */
export interface CacheView {
  /** `lists`: its entries can be looked at. `error`: why its numbers are not known (they are 0). */
  stores: { name: string; kind: string; mode: string; entries: number; bytes: number; hits: number; misses: number; lists: boolean; error: string }[];
}
/** GET /cache/entries?store&search&limit (role operator: it shows prompts). DELETE /cache/entries/{id}?store. */
export interface CacheEntries {
  entries: { id: string; partition: string; decision: string; model: string; text: string; answer: string; age_s: number; expires_s: number | null; bytes: number }[];
  looked_at: number;
  more: boolean;
}
/** POST /cache/test and /cache/invalidate: as on the management API. */

/** GET /access (404 without `maas`); `usage` is of the last thirty days. Changes (role admin): POST
 * /access/keys {name, tier, expires_s?} answers {key} once; DELETE /access/keys/{id}. Keys made so
 * are a program's, whose `owner` is `program:<name>`. */
export interface Access {
  tiers: { name: string; level: number; groups: string[]; models: string[]; limits: { what: string; amount: number; window: string }[] }[];
  keys: { id: string; name: string; owner: string; tier: string; created: number; expires: number | null; last_used: number | null; revoked: boolean }[];
  usage: { who: string; tier: string; model: string; requests: number; prompt_tokens: number; completion_tokens: number; cost: number }[];
  currency: string;
}

/** GET /evaluations ({evaluations: Evaluation[]}, without `wrong` and `curve`); POST /evaluations
 * {name, signal, rows: [{text, label}]} answers the Evaluation that begins; `signal` is the `id` of a
 * choice; GET /evaluations/{id}; DELETE /evaluations/{id}. Role operator, but for the list. */
export interface Evaluation {
  id: string;
  name: string;
  of: string;
  at: number;
  by: string;
  /** `running`, `done`, `failed`. */
  state: string;
  error: string;
  done: number;
  total: number;
  accuracy: number | null;
  macro_f1: number | null;
  labels: string[];
  /** Rows are what was right, columns what was said. */
  matrix: number[][];
  by_label: { label: string; precision: number; recall: number; f1: number; count: number }[];
  /** For scores: of each threshold. */
  curve: { threshold: number; precision: number; recall: number; f1: number }[];
  threshold: number | null;
  wrong: { text: string; label: string; said: string; score: number | null }[];
  p50_ms: number | null;
}
/** GET /evaluations/choices: what may be evaluated: `decision`, a kind of signal (which of its rules
 * is surest; `(none)` where none matches) or one rule, `kind:name` (labels `yes` and `no`). */
export interface EvaluationChoices {
  of: { id: string; labels: string[]; scored: boolean }[];
}

/** GET /replays (as GET /v1/router_replay with its filters), /replays/{id}. Role operator: they hold
 * prompts, and are searched for their text. */
export interface Replays {
  data: Record<string, unknown>[];
  count: number;
  offset: number;
  limit: number;
  has_more: boolean;
}
/** POST /replays/{id}/again: decided once more, by what is in force now. */
export interface Again {
  before: Went;
  after: Played;
}

/** GET /audit: the newest first. Who changed what; never a secret. */
export interface Audit {
  entries: { at: number; who: string; role: Role; what: string; target: string; outcome: string; from: string }[];
}
