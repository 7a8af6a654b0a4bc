/** Labelled rows out of what somebody pasted or uploaded: JSON lines, a JSON list, or CSV. */

export interface Row {
  text: string;
  label: string;
}

export interface Read {
  rows: Row[];
  /** What is wrong, by line; the rows are then not to be sent. */
  problems: string[];
}

const TEXTS = ["text", "prompt", "question", "input"];
const LABELS = ["label", "expected", "category", "class", "output"];
const MOST_TOLD = 5;

export function rowsOf(given: string): Read {
  const text = given.replace(/^\uFEFF/, "").trim();
  if (text === "") return { rows: [], problems: [] };
  if (text.startsWith("[")) return fromList(text);
  return text.startsWith("{") ? fromLines(text) : fromCsv(text);
}

function fromList(text: string): Read {
  try {
    const list = JSON.parse(text) as unknown;
    return Array.isArray(list) ? gathered(list.map((each, i) => [`entry ${i + 1}`, each])) : wrong("not a list");
  } catch (error) {
    return wrong(error instanceof Error ? error.message : "not JSON");
  }
}

function fromLines(text: string): Read {
  const found: [string, unknown][] = [];
  const problems: string[] = [];
  text.split(/\r?\n/).forEach((line, i) => {
    if (line.trim() === "") return;
    try {
      found.push([`line ${i + 1}`, JSON.parse(line)]);
    } catch {
      problems.push(`line ${i + 1}: is not JSON`);
    }
  });
  const read = gathered(found);
  return { rows: read.rows, problems: [...problems, ...read.problems].slice(0, MOST_TOLD) };
}

function gathered(found: readonly (readonly [string, unknown])[]): Read {
  const rows: Row[] = [];
  const problems: string[] = [];
  for (const [where, each] of found) {
    const map = typeof each === "object" && each !== null ? (each as Record<string, unknown>) : {};
    const text = TEXTS.map((key) => map[key]).find((value) => typeof value === "string");
    const label = LABELS.map((key) => map[key]).find((value) => value !== undefined && value !== null);
    if (typeof text !== "string" || text.trim() === "") problems.push(`${where}: has no "text"`);
    else if (label === undefined || typeof label === "object") problems.push(`${where}: has no "label"`);
    else rows.push({ text, label: String(label) });
  }
  return { rows, problems: problems.slice(0, MOST_TOLD) };
}

function fromCsv(text: string): Read {
  const lines = cells(text);
  const head = (lines[0] ?? []).map((cell) => cell.trim().toLowerCase());
  const named = [head.findIndex((cell) => TEXTS.includes(cell)), head.findIndex((cell) => LABELS.includes(cell))];
  const hasHead = named.every((at) => at >= 0);
  const [textAt, labelAt] = hasHead ? (named as [number, number]) : [0, 1];
  const rows: Row[] = [];
  const problems: string[] = [];
  lines.slice(hasHead ? 1 : 0).forEach((line, i) => {
    const [said, label] = [line[textAt]?.trim() ?? "", line[labelAt]?.trim() ?? ""];
    if (said === "" && label === "") return;
    if (said === "" || label === "") problems.push(`row ${i + (hasHead ? 2 : 1)}: wants a text and a label`);
    else rows.push({ text: said, label });
  });
  return { rows, problems: problems.slice(0, MOST_TOLD) };
}

/** RFC 4180: quotes around a cell, doubled inside it, line breaks allowed there. */
export function cells(text: string): string[][] {
  const lines: string[][] = [];
  let line: string[] = [];
  let cell = "";
  let quoted = false;
  const separator = text.split("\n", 1)[0]?.includes("\t") ? "\t" : ",";
  const endCell = () => {
    line.push(cell);
    cell = "";
  };
  const endLine = () => {
    endCell();
    lines.push(line);
    line = [];
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i] ?? "";
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') {
        cell += '"';
        i++;
      } else quoted = false;
    } else if (c === '"' && cell === "") quoted = true;
    else if (c === separator) endCell();
    else if (c === "\n") endLine();
    else if (c !== "\r") cell += c;
  }
  if (cell !== "" || line.length > 0) endLine();
  return lines;
}

function wrong(what: string): Read {
  return { rows: [], problems: [what] };
}

/** How many rows each label has, the most first. */
export function countsOf(rows: readonly Row[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { label } of rows) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}
