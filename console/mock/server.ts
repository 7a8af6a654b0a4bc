/** A server that is invented, for work on the pages alone: `MOCK=1 npm run dev`. Never shipped. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Plugin } from "vite";

export function mock(): Plugin {
  return {
    name: "mock",
    configureServer(server) {
      server.middlewares.use("/console/api", (request: IncomingMessage, answer: ServerResponse) => {
        const path = (request.url ?? "").split("?")[0];
        const body = ANSWERS[path ?? ""];
        answer.setHeader("content-type", "application/json");
        answer.statusCode = body ? 200 : 404;
        answer.end(JSON.stringify(body ?? { error: { code: "NOT_FOUND", message: "not invented yet" } }));
      });
    },
  };
}

const ANSWERS: Record<string, unknown> = {
  "/me": { name: "mock", role: "admin", csrf: "x", version: "0.0", has: { access: true, replay: true, cache: true, evaluation: true, writable: true } },
};
