/** The line, drawn: signals, decisions, models, replicas, and the requests that pass. */
import { useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState, type CSSProperties, type Ref } from "react";
import type { LineMap, Passed } from "../../api/types";
import { count } from "../../format";
import { useWidth } from "../../parts/width";
import { COLUMNS, failed, lineOf, trafficOf, walk, type Traffic } from "./line";
import { layout, NODE, type Placed } from "./layout";
import { Travel } from "./travel";

export interface PictureHandle {
  /** Let these travel. */
  show: (passed: Passed[]) => void;
}

interface Props {
  map: LineMap;
  recipe: LineMap["recipes"][number];
  passed: readonly Passed[];
  rate: string;
  chosen: string | null;
  onChoose: (node: string | null) => void;
  ref?: Ref<PictureHandle>;
}

export function Picture({ map, recipe, passed, rate, chosen, onChoose, ref }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const layer = useRef<SVGGElement>(null);
  const paths = useRef(new Map<string, SVGPathElement>());
  const nodes = useRef(new Map<string, HTMLElement>());
  const travel = useRef<Travel | null>(null);
  const width = useWidth(frame, 960);
  const [over, setOver] = useState<string | null>(null);

  const line = useMemo(() => lineOf(map, recipe, passed), [map, recipe, passed]);
  const traffic = useMemo(() => trafficOf(passed, map), [passed, map]);
  const shape = JSON.stringify(line);
  // eslint-disable-next-line -- the shape is the line: nothing moves while it stays the same
  const placed = useMemo(() => layout(line, width), [shape, width]);

  useEffect(() => {
    if (!layer.current) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const light = (id: string, look: string, on: boolean) => nodes.current.get(id)?.classList.toggle(`lit-${look}`, on);
    const mine = new Travel(layer.current, light, still);
    travel.current = mine;
    return () => mine.stop();
  }, []);
  useLayoutEffect(() => travel.current?.paths(paths.current));
  useImperativeHandle(
    ref,
    () => ({
      show: (came) => came.forEach((one, at) => travel.current?.send(walk(one, map), lookOf(one), at * 70)),
    }),
    [map],
  );

  const lit = over ?? chosen;
  return (
    <div className="line" ref={frame}>
      <div className="line-heads" aria-hidden="true">
        {COLUMNS.map((name, column) => (
          <span key={name} style={{ left: placed.heads[column] }}>
            {name}
          </span>
        ))}
      </div>
      <div className={lit ? "line-picture choosing" : "line-picture"} style={{ height: placed.height }}>
        <svg width={width} height={placed.height} aria-hidden="true">
          {[...placed.paths].map(([id, d]) => (
            <g key={id} className={lit && id.split(">").includes(lit) ? "near" : undefined}>
              <path
                d={d}
                className={traffic.all.get(id) ? "edge busy" : "edge"}
                style={{ strokeWidth: thickness(traffic.all.get(id), traffic) }}
                ref={(path) => {
                  if (!path) return;
                  paths.current.set(id, path);
                  return () => void paths.current.delete(id);
                }}
              />
              {manyFail(id, traffic) && <path d={d} className="edge failing" style={{ strokeWidth: failing(id, traffic) }} />}
            </g>
          ))}
          <g ref={layer} />
        </svg>
        {placed.nodes.map((node) => (
          <NodeOf
            key={node.id}
            node={node}
            traffic={traffic}
            rate={rate}
            chosen={chosen === node.id}
            onOver={setOver}
            onChoose={() => onChoose(chosen === node.id ? null : node.id)}
            keep={(element) => {
              if (!element) return;
              nodes.current.set(node.id, element);
              return () => void nodes.current.delete(node.id);
            }}
          />
        ))}
      </div>
    </div>
  );
}

interface NodeProps {
  node: Placed;
  traffic: Traffic;
  rate: string;
  chosen: boolean;
  onOver: (id: string | null) => void;
  onChoose: () => void;
  keep: (element: HTMLElement | null) => (() => void) | undefined;
}

function NodeOf({ node, traffic, rate, chosen, onOver, onChoose, keep }: NodeProps) {
  const place: CSSProperties = { left: node.x, top: node.y, width: node.width, height: NODE };
  if (!node.column) {
    return (
      <div className="node start" style={place} ref={keep}>
        <b>{rate}</b>
      </div>
    );
  }
  const [all, errors] = [traffic.all.get(node.id) ?? 0, traffic.errors.get(node.id) ?? 0];
  const said = `${node.title}: ${count(all)} of the last ${count(traffic.total)} requests${errors ? `, ${count(errors)} failed` : ""}`;
  return (
    <button
      type="button"
      className={`node ${all ? "busy" : ""}`}
      style={place}
      ref={keep}
      title={said}
      aria-label={`${said}. Show only these.`}
      aria-pressed={chosen}
      onClick={onChoose}
      onPointerEnter={() => onOver(node.id)}
      onPointerLeave={() => onOver(null)}
      onFocus={() => onOver(node.id)}
      onBlur={() => onOver(null)}
    >
      <span className="node-name">
        {node.kind && <span className="node-kind">{node.kind}</span>}
        {node.name}
      </span>
      {all > 0 && <span className={manyFail(node.id, traffic) ? "node-count bad" : "node-count"}>{count(all)}</span>}
    </button>
  );
}

/** From this share on a node or an edge says in red that requests fail; each one is a red dot. */
const MANY_FAIL = 0.05;

function manyFail(id: string, traffic: Traffic): boolean {
  return (traffic.errors.get(id) ?? 0) > (traffic.all.get(id) ?? 0) * MANY_FAIL;
}

export function lookOf(passed: Passed): "bad" | "cached" | "fine" {
  if (failed(passed)) return "bad";
  return passed.path === "cache" ? "cached" : "fine";
}

/** The area under an edge grows with its traffic, but what is seldom stays to be seen. */
function thickness(through: number | undefined, traffic: Traffic): number {
  return through ? 1.5 + 10 * Math.sqrt(through / Math.max(traffic.total, 20)) : 1;
}

/** The part of an edge's thickness that failed, but never too thin to be seen. */
function failing(id: string, traffic: Traffic): number {
  const [all, errors] = [traffic.all.get(id) ?? 1, traffic.errors.get(id) ?? 0];
  return Math.max(2, (thickness(all, traffic) * errors) / all);
}
