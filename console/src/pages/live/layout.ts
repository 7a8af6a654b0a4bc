/** Where nodes stand and how edges bend. Pure; in CSS pixels. */
import { COLUMNS, type EdgeId, type Line, type Node } from "./line";

export interface Placed extends Node {
  x: number;
  y: number;
  width: number;
}

export interface Layout {
  nodes: Placed[];
  /** What an edge looks like, as the `d` of a path. */
  paths: Map<EdgeId, string>;
  /** Left edge of each column's heading. */
  heads: number[];
  height: number;
}

export const NODE = 34;
const GAP = 9;
const START_WIDTH = 74;
/** Below the signals, for those that go past them. */
const LANE = 20;
/** What the columns share out, and what is left between them for edges. */
const SHARES = [0, 0.26, 0.27, 0.21, 0.26];
const EDGE_SHARE = 0.33;

export function layout(line: Line, width: number): Layout {
  const columns = COLUMNS.map((_, column) => line.nodes.filter((node) => node.column === column));
  const rows = Math.max(...columns.map((column) => column.length), 4);
  const past = line.edges.some((id) => passesSignals(id));
  const height = rows * (NODE + GAP) - GAP + (past ? LANE : 0);
  const forEdges = (width - START_WIDTH) * EDGE_SHARE;
  const forNodes = width - START_WIDTH - forEdges;
  const widths = SHARES.map((share, column) => (column ? share * forNodes : START_WIDTH));
  const heads: number[] = [];
  let x = 0;
  for (const one of widths) {
    heads.push(x);
    x += one + forEdges / (COLUMNS.length - 1);
  }
  const nodes = columns.flatMap((column, index) => {
    // Each column is spread over the height, but not further than it takes to be read as one.
    const room = index === 1 && past ? height - LANE : height;
    const step = column.length > 1 ? Math.min((room - NODE) / (column.length - 1), (NODE + GAP) * 1.9) : 0;
    const top = (room - NODE - step * (column.length - 1)) / 2;
    return column.map((node, at) => ({ ...node, x: heads[index] ?? 0, y: top + at * step, width: widths[index] ?? 0 }));
  });
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const paths = new Map<EdgeId, string>();
  for (const id of line.edges) {
    const [from, to] = id.split(">").map((end) => byId.get(end));
    if (!from || !to) continue;
    const around = { x1: heads[1] ?? 0, x2: (heads[1] ?? 0) + (widths[1] ?? 0), y: height - LANE / 4 };
    paths.set(id, passesSignals(id) && columns[1]?.length ? bendAround(from, to, around) : bend(from, to));
  }
  return { nodes, paths, heads, height };
}

/** Whether an edge leads from the prompts straight to a decision. */
function passesSignals(id: EdgeId): boolean {
  return id.startsWith("start>d:");
}

function bendAround(from: Placed, to: Placed, by: { x1: number; x2: number; y: number }): string {
  const [x1, y1] = [from.x + from.width, from.y + NODE / 2];
  const [x2, y2] = [to.x, to.y + NODE / 2];
  const [first, last] = [(by.x1 - x1) * 0.6, (x2 - by.x2) * 0.6];
  return (
    `M${f(x1)} ${f(y1)}C${f(x1 + first)} ${f(y1)} ${f(by.x1 - first)} ${f(by.y)} ${f(by.x1)} ${f(by.y)}` +
    `L${f(by.x2)} ${f(by.y)}C${f(by.x2 + last)} ${f(by.y)} ${f(x2 - last)} ${f(y2)} ${f(x2)} ${f(y2)}`
  );
}

function bend(from: Placed, to: Placed): string {
  const [x1, y1] = [from.x + from.width, from.y + NODE / 2];
  const [x2, y2] = [to.x, to.y + NODE / 2];
  const half = Math.max(24, (x2 - x1) / 2);
  return `M${f(x1)} ${f(y1)}C${f(x1 + half)} ${f(y1)} ${f(x2 - half)} ${f(y2)} ${f(x2)} ${f(y2)}`;
}

const f = (value: number) => value.toFixed(1);
