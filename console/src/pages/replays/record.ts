/** A record of `router_replay`, as it is kept. */

export interface Replay {
  id: string;
  /** Seconds since 1970. */
  timestamp: number;
  user?: string;
  session_id?: string;
  recipe?: string;
  decision?: string;
  requested_model?: string;
  selected_model?: string;
  reasoning?: string;
  signals?: Record<string, string[]>;
  streaming?: boolean;
  context_tokens?: number;
  response_path?: string;
  response_status?: number;
  complete?: boolean;
  cache_status?: string;
  seconds?: number;
  usage?: { prompt_tokens?: number; completion_tokens?: number } | null;
  finish_reason?: string;
  request_body?: string;
  request_truncated?: boolean;
  response_body?: string;
  response_truncated?: boolean;
  tool_trace?: { kind: string; name: string; text: string }[];
  unredacted?: string;
  cost?: number;
  currency?: string;
}

export function signalsOf(replay: Replay): string[] {
  return Object.entries(replay.signals ?? {}).flatMap(([kind, names]) => names.map((name) => `${kind}:${name}`));
}

/** What the model said, of an answer as one document or as a stream of events. */
export function answerOf(body: string): string {
  const whole = parsed(body);
  if (whole) return textOf(whole);
  return body
    .split("\n")
    .filter((line) => line.startsWith("data:"))
    .map((line) => textOf(parsed(line.slice(5))))
    .join("");
}

interface Said {
  choices?: { message?: { content?: unknown }; delta?: { content?: unknown }; text?: unknown }[];
  content?: { text?: unknown }[];
  delta?: { text?: unknown };
}

function textOf(said: Said | null): string {
  const choice = said?.choices?.[0];
  const found = [choice?.message?.content, choice?.delta?.content, choice?.text, said?.content?.[0]?.text, said?.delta?.text];
  return String(found.find((one) => typeof one === "string") ?? "");
}

function parsed(text: string): Said | null {
  try {
    return JSON.parse(text) as Said;
  } catch {
    return null;
  }
}
