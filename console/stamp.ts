/**
 * Writes `build.json`: a digest of everything the build was made from. A Python test computes it
 * again, so that a build older than its sources fails without Node.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import type { Plugin } from "vite";

/** What a build is made from: these files, and every file in these folders. */
const SOURCES = ["index.html", "package-lock.json", "public", "src", "tsconfig.json", "vite.config.ts"];

/** SHA-256 over `path NUL content NUL` of each file, in the order of their paths' bytes. */
export function digest(root: string): string {
  const hash = createHash("sha256");
  const files = SOURCES.flatMap((name) => filesOf(join(root, name)));
  const named = files.map((file) => ({ file, name: relative(root, file).split(sep).join("/") }));
  named.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { file, name } of named) {
    hash.update(name).update("\0").update(readFileSync(file)).update("\0");
  }
  return hash.digest("hex");
}

function filesOf(path: string): string[] {
  try {
    return readdirSync(path).flatMap((name) => filesOf(join(path, name)));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOTDIR") return [path];
    if (code === "ENOENT") return [];
    throw error;
  }
}

export function stamp(): Plugin {
  return {
    name: "stamp",
    apply: "build",
    generateBundle() {
      const source = `${JSON.stringify({ sources: digest(import.meta.dirname) })}\n`;
      this.emitFile({ type: "asset", fileName: "build.json", source });
    },
  };
}
