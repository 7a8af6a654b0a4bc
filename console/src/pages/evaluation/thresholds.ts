/**
 * Reading a curve of thresholds. A score matches that is no less than the threshold, and the curve's
 * points are scores that were seen: so what a point says holds from the point before it, which it
 * does not include, up to itself.
 */

import type { Evaluation } from "../../api/types";

type Curve = Evaluation["curve"];
type Point = Curve[number];

/** What a threshold makes of the rows; above every score nothing matches. */
export function pointAt(curve: Curve, threshold: number): Point {
  return curve.find((point) => point.threshold >= threshold) ?? { threshold, precision: 0, recall: 0, f1: 0 };
}

/** A stretch of thresholds that are equally good. */
export interface Stretch {
  point: Point;
  /** Not included, unless it is the first. */
  from: number;
  to: number;
  /** As far from both ends as can be: what to set. */
  middle: number;
}

/** The stretch with the greatest F1; of several, the widest, where rows not seen have most room. */
export function best(curve: Curve): Stretch | undefined {
  const most = Math.max(...curve.map((point) => point.f1));
  let found: Stretch | undefined;
  for (let i = 0; i < curve.length; i++) {
    const point = curve[i];
    if (!point || point.f1 !== most) continue;
    let last = i;
    while (curve[last + 1]?.f1 === most) last++;
    const [from, to] = [startOf(curve, i), curve[last]?.threshold ?? point.threshold];
    if (!found || to - from > found.to - found.from) found = { point, from, to, middle: between(from, to) };
    i = last;
  }
  return found;
}

/** Whether a threshold is of a stretch. */
export function isIn(stretch: Stretch, threshold: number): boolean {
  return threshold <= stretch.to && (threshold > stretch.from || stretch.from === stretch.to);
}

/** The curve as it is drawn: level over each stretch, and a step at its end. */
export function steps(curve: Curve): { xs: number[]; points: Point[] } {
  const points = curve.flatMap((point) => [point, point]);
  const xs = curve.flatMap((point, i) => [startOf(curve, i), point.threshold]);
  return { xs, points };
}

function startOf(curve: Curve, at: number): number {
  const own = curve[at]?.threshold ?? 0;
  return at === 0 ? Math.min(0, own) : (curve[at - 1]?.threshold ?? own);
}

/** In the middle, with no more digits than tell it from both ends. */
function between(from: number, to: number): number {
  const middle = (from + to) / 2;
  for (const digits of [2, 3, 4]) {
    const short = Number(middle.toFixed(digits));
    if (short > from && short <= to) return short;
  }
  return to;
}
