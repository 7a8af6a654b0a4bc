/** A conversation as one writes it, and as it is handed from another page to this one. */

export const ROLES = ["user", "assistant", "system"] as const;

export interface Message {
  role: string;
  content: string;
}

let handed: Message[] | null = null;

/** Kept in memory, not in the address: a prompt has no business in a browser's history. */
export function handOver(messages: Message[]): void {
  handed = messages;
}

export function takeOver(): Message[] | null {
  const messages = handed;
  handed = null;
  return messages;
}

/** The messages of a request as it was recorded, where they can be read. */
export function messagesOf(body: string): Message[] {
  let found: unknown;
  try {
    found = JSON.parse(body);
  } catch {
    return [];
  }
  const said = found as { messages?: unknown; input?: unknown; prompt?: unknown };
  if (Array.isArray(said.messages)) return said.messages.map(asMessage);
  const text = [said.input, said.prompt].find((one) => typeof one === "string");
  return typeof text === "string" ? [{ role: "user", content: text }] : [];
}

function asMessage(message: unknown): Message {
  const { role, content } = message as { role?: unknown; content?: unknown };
  return { role: typeof role === "string" ? role : "user", content: textOf(content) };
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return content ? JSON.stringify(content) : "";
  return content.map((part: { text?: unknown; type?: unknown }) => (typeof part.text === "string" ? part.text : `[${String(part.type)}]`)).join("\n");
}
