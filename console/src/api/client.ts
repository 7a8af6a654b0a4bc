/**
 * The only file that talks to the server. Everything under `/console/api`, with the session's
 * cookie; what changes something also carries the token of the session against forged requests.
 */

const ROOT = "/console/api";
const NEEDS_CSRF = new Set(["POST", "PUT", "PATCH", "DELETE"]);

let csrf = "";
let expired: () => void = () => {};

/** Called by the session: the token to send, and what to do once the server says 401. */
export function setCredentials(token: string, onExpired: () => void): void {
  csrf = token;
  expired = onExpired;
}

/** An error as people read it: what happened, and in `hint` what to do about it. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

type Query = Record<string, string | number | boolean | undefined>;

export const api = {
  get: <T>(path: string, query?: Query, signal?: AbortSignal) =>
    ask<T>("GET", path + search(query), undefined, signal),
  post: <T>(path: string, body?: unknown) => ask<T>("POST", path, body ?? {}),
  put: <T>(path: string, body: unknown) => ask<T>("PUT", path, body),
  del: <T = void>(path: string, query?: Query) => ask<T>("DELETE", path + search(query)),
};

/** Part of a path that may hold anything: `/replays/${part(id)}`. */
export const part = encodeURIComponent;

/**
 * Server-sent events by name, until the function that is returned is called. The browser connects
 * again by itself; `onState` says whether it is connected.
 */
export function listen(
  path: string,
  handlers: Record<string, (data: unknown) => void>,
  onState: (connected: boolean) => void,
): () => void {
  const source = new EventSource(ROOT + path);
  source.onopen = () => onState(true);
  source.onerror = () => onState(false);
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handle(JSON.parse(event.data as string)));
  }
  return () => source.close();
}

function search(query: Query = {}): string {
  const kept = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const asked = new URLSearchParams(kept.map(([name, value]) => [name, String(value)]));
  return kept.length ? `?${asked}` : "";
}

async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (NEEDS_CSRF.has(method)) headers["x-wayside-csrf"] = csrf;
  let answer: Response;
  try {
    answer = await fetch(ROOT + path, {
      method,
      headers,
      credentials: "same-origin",
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused("The server does not answer.", 0, "unreachable", HINTS[0] ?? "");
  }
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
  const refused = await refusedBy(answer);
  if (answer.status === 401 && path !== "/login" && path !== "/me") expired();
  throw refused;
}

async function refusedBy(answer: Response): Promise<Refused> {
  let code = "";
  let message = `The server answered ${answer.status} ${answer.statusText}`.trim() + ".";
  try {
    const { error } = (await answer.json()) as { error?: { code?: string; message?: string } };
    code = error?.code ?? "";
    message = error?.message ?? message;
  } catch {
    // No JSON: a proxy on the way, or a page that is not ours. The status says what there is to say.
  }
  return new Refused(message, answer.status, code, HINTS[answer.status] ?? "");
}

const HINTS: Record<number, string> = {
  0: "Is `wayside serve` still running, and can this machine reach it?",
  401: "Log in again.",
  403: "Your role does not allow this. Ask an operator or an administrator.",
  404: "It may have been removed meanwhile. Load the page again.",
  409: "Somebody else has changed this meanwhile. Load the page again and repeat your change.",
  412: "Somebody else has changed this meanwhile. Load the page again and repeat your change.",
  413: "Send less at once.",
  429: "Wait a moment, then try again.",
  500: "The log of `wayside serve` says more.",
  503: "The router is starting or busy. Try again in a moment.",
};
