/**
 * Builds the console into the Python package, so that the wheel serves it and nobody needs Node
 * to run it. File names carry no hash: the server sends etags, and a build's diff stays readable.
 */
import { defineConfig } from "vite";
import { stamp } from "./stamp.ts";

/** `npm run dev` stands in front of a running `wayside serve`; `MOCK=1` invents one instead. */
const server = process.env["WAYSIDE"] ?? "http://127.0.0.1:8080";

export default defineConfig(async ({ command }) => ({
  base: "/console/",
  plugins: [
    stamp(),
    ...(command === "serve" && process.env["MOCK"] ? [(await import("./mock/server.ts")).mock()] : []),
  ],
  esbuild: { jsx: "automatic" as const, legalComments: "none" as const },
  server: { proxy: { "/console/api": server } },
  build: {
    outDir: "../src/wayside/console/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        entryFileNames: "assets/index.js",
        assetFileNames: "assets/[name][extname]",
        inlineDynamicImports: true,
      },
    },
  },
}));
