/** Three charts, small and readable: lines over time or a threshold, bars, and a heat map. */
import { useRef, useState, type CSSProperties, type PointerEvent, type ReactNode } from "react";
import { useWidth } from "./width";

export interface Series {
  name: string;
  /** One for each x; `null` is a gap. */
  values: readonly (number | null)[];
  tone?: "accent" | "soft" | "bad";
  /** Filled down to the axis. */
  area?: boolean;
}

interface LineProps {
  /** What it shows, for those who cannot see it. */
  label: string;
  xs: readonly number[];
  series: readonly Series[];
  x: (value: number) => string;
  y: (value: number) => string;
  height?: number;
  /** The least that the top of the y axis stands for. */
  top?: number;
  /** A vertical line: the threshold that is in force. */
  mark?: { x: number; label: string } | null;
}

const LEFT = 52;
const BOTTOM = 22;
const TOP = 8;
const RIGHT = 8;

/** Lines with an axis of three steps; the pointer or the arrow keys read the values. */
export function LineChart({ label, xs, series, x, y, height = 180, top = 0, mark }: LineProps) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const [at, setAt] = useState<number | null>(null);
  const highest = niceTop(Math.max(top, ...series.flatMap((one) => one.values.map((value) => value ?? 0))));
  const [first, last] = [xs[0] ?? 0, xs[xs.length - 1] ?? 1];
  const px = (value: number) => LEFT + ((value - first) / (last - first || 1)) * (width - LEFT - RIGHT);
  const py = (value: number) => TOP + (1 - value / highest) * (height - TOP - BOTTOM);
  const point = (event: PointerEvent<SVGSVGElement>) => {
    const where = event.clientX - event.currentTarget.getBoundingClientRect().left;
    setAt(nearest(xs.map(px), where));
  };
  const step = (by: number) => setAt((was) => Math.min(xs.length - 1, Math.max(0, (was ?? xs.length) + by)));
  const read = at === null ? null : xs[at];
  const ends = series.map((one) => `${one.name} ${y(one.values[one.values.length - 1] ?? NaN)}`).join(", ");
  return (
    <figure className="chart" ref={frame}>
      <figcaption className="legend">
        {series.map((one) => (
          <span key={one.name} className={`key ${one.tone ?? "accent"}`}>
            {one.name}
            {at !== null && <b>{y(one.values[at] ?? NaN)}</b>}
          </span>
        ))}
        <span className="legend-x" aria-live="polite">
          {read !== null && read !== undefined ? x(read) : ""}
        </span>
      </figcaption>
      <svg
        width={width}
        height={height}
        role="img"
        aria-label={`${label}. At the end: ${ends}.`}
        tabIndex={0}
        onPointerMove={point}
        onPointerLeave={() => setAt(null)}
        onBlur={() => setAt(null)}
        onKeyDown={(event) => {
          const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
          if (by === undefined) return;
          event.preventDefault();
          step(by);
        }}
      >
        {[0, 0.5, 1].map((share) => (
          <g key={share} className="axis">
            <line x1={LEFT} x2={width - RIGHT} y1={py(share * highest)} y2={py(share * highest)} />
            <text x={LEFT - 8} y={py(share * highest) + 4} textAnchor="end">
              {y(share * highest)}
            </text>
          </g>
        ))}
        {xs.length > 1 && (
          <g className="axis">
            <text x={LEFT} y={height - 4}>
              {x(first)}
            </text>
            <text x={width - RIGHT} y={height - 4} textAnchor="end">
              {x(last)}
            </text>
          </g>
        )}
        {mark && (
          <g className="mark">
            <line x1={px(mark.x)} x2={px(mark.x)} y1={TOP} y2={height - BOTTOM} />
            <text x={px(mark.x) + 5} y={TOP + 10}>
              {mark.label}
            </text>
          </g>
        )}
        {series.map((one) => (
          <g key={one.name} className={`series ${one.tone ?? "accent"}`}>
            {one.area && <path className="area" d={areaOf(one.values, xs.map(px), py)} />}
            <path className="stroke" d={lineOf(one.values, xs.map(px), py)} />
          </g>
        ))}
        {read !== null && read !== undefined && at !== null && (
          <g className="reading">
            <line x1={px(read)} x2={px(read)} y1={TOP} y2={height - BOTTOM} />
            {series.map((one) => {
              const value = one.values[at];
              return typeof value === "number" && <circle key={one.name} className={one.tone ?? "accent"} cx={px(read)} cy={py(value)} r={3.5} />;
            })}
          </g>
        )}
      </svg>
    </figure>
  );
}

type Point = [x: number, y: number];

/** The stretches without a gap. */
function stretches(values: readonly (number | null)[], xs: number[], py: (value: number) => number): Point[][] {
  const found: Point[][] = [[]];
  values.forEach((value, at) => {
    if (value === null) found.push([]);
    else found[found.length - 1]?.push([xs[at] ?? 0, py(value)]);
  });
  return found.filter((points) => points.length > 0);
}

const through = (points: Point[]) => points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");

/** A value between two gaps is a dot: a line of no length with round ends. */
function lineOf(values: readonly (number | null)[], xs: number[], py: (value: number) => number): string {
  return stretches(values, xs, py)
    .map((points) => `M${through(points)}${points.length === 1 ? "h0" : ""}`)
    .join("");
}

function areaOf(values: readonly (number | null)[], xs: number[], py: (value: number) => number): string {
  return stretches(values, xs, py)
    .map((points) => `M${points[0]?.[0]} ${py(0)}L${through(points)}L${points[points.length - 1]?.[0]} ${py(0)}Z`)
    .join("");
}

/** The next round number: 1, 2 or 5 times a power of ten. */
function niceTop(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5, 10].find((step) => value <= step * power * 1.0001) ?? 10);
}

function nearest(places: number[], where: number): number | null {
  let best: number | null = null;
  places.forEach((place, index) => {
    if (best === null || Math.abs(place - where) < Math.abs((places[best] ?? 0) - where)) best = index;
  });
  return best;
}

export interface Bar {
  key: string;
  label: ReactNode;
  /** In the unit of `max`. */
  value: number | null;
  /** A second, paler length behind it: before a change, the dearest model. */
  compare?: number | null;
  /** A tick on the bar: from here on it counts. */
  threshold?: number | null;
  text: ReactNode;
  tone?: "accent" | "soft" | "bad";
}

/** Bars that lie: a label, a length, its figure as text. `max`: what the full length stands for. */
export function Bars({ label, bars, max }: { label: string; bars: readonly Bar[]; max?: number }) {
  const whole = max ?? (Math.max(...bars.flatMap((bar) => [bar.value ?? 0, bar.compare ?? 0])) || 1);
  const share = (value: number) => `${Math.min(100, Math.max(0, (value / whole) * 100))}%`;
  return (
    <ul className="bars" aria-label={label}>
      {bars.map((bar) => (
        <li key={bar.key} className={`bar ${bar.tone ?? "accent"}`}>
          <span className="bar-label">{bar.label}</span>
          <span className="bar-track" aria-hidden="true">
            {typeof bar.compare === "number" && <span className="bar-compare" style={{ "--size": share(bar.compare) } as CSSProperties} />}
            {bar.value !== null && <span className="bar-fill" style={{ "--size": share(bar.value) } as CSSProperties} />}
            {typeof bar.threshold === "number" && <span className="bar-tick" style={{ "--at": share(bar.threshold) } as CSSProperties} />}
          </span>
          <span className="bar-text">{bar.text}</span>
        </li>
      ))}
    </ul>
  );
}

interface HeatProps {
  label: string;
  rows: readonly string[];
  columns: readonly string[];
  /** `values[row][column]`. */
  values: readonly (readonly number[])[];
  rowTitle?: string;
  columnTitle?: string;
  text?: (value: number) => string;
  onCell?: (row: number, column: number) => void;
}

/** A table whose cells are darker the more they hold; each row is coloured by its own whole. */
export function HeatMap({ label, rows, columns, values, rowTitle = "", columnTitle = "", text = String, onCell }: HeatProps) {
  return (
    <div className="table-frame" role="group" aria-label={label} tabIndex={0}>
      <table className="heat">
        <caption>{columnTitle}</caption>
        <thead>
          <tr>
            <th scope="col">{rowTitle}</th>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => {
            const whole = (values[i] ?? []).reduce((sum, value) => sum + value, 0) || 1;
            return (
              <tr key={row}>
                <th scope="row">{row}</th>
                {columns.map((column, j) => {
                  const value = values[i]?.[j] ?? 0;
                  const heat = { "--heat": `${Math.round((value / whole) * 70)}%` } as CSSProperties;
                  return (
                    <td key={column} style={heat} className={value ? undefined : "none"}>
                      {onCell && value ? (
                        <button type="button" aria-label={`${row}, said ${column}: ${text(value)}`} onClick={() => onCell(i, j)}>
                          {text(value)}
                        </button>
                      ) : (
                        text(value)
                      )}
                    </td>
                  );
                })}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
