/**
 * Dots that travel the line, one for each request that has passed. They are moved by hand, frame
 * by frame, beside React: sixty times a second is none of its business.
 */
import type { EdgeId } from "./line";

const SVG = "http://www.w3.org/2000/svg";
/** A step of the way takes so long; the whole way about two and a half seconds. */
const STEP_MS = 640;
const LIT_MS = 700;
/** More at once is a cloud; the rest is told by the edges' thickness. */
const MOST = 90;

interface Traveller {
  steps: EdgeId[][];
  look: string;
  since: number;
  step: number;
  dots: SVGCircleElement[];
}

export class Travel {
  #travellers: Traveller[] = [];
  #frame = 0;
  #paths = new Map<EdgeId, SVGPathElement>();
  #lengths = new WeakMap<SVGPathElement, { d: string; length: number }>();

  constructor(
    private readonly layer: SVGGElement,
    /** Called when a dot arrives at a node, and again once it shines no more. */
    private readonly light: (node: string, look: string, on: boolean) => void,
    private readonly still: boolean,
  ) {}

  /** The edges as they are drawn now. */
  paths(paths: Map<EdgeId, SVGPathElement>): void {
    this.#paths = paths;
  }

  send(steps: EdgeId[][], look: string, delay = 0): void {
    if (document.visibilityState !== "visible" || this.#travellers.length >= MOST) return;
    if (this.still) {
      for (const one of new Set(steps.flat().map((id) => id.split(">")[1] ?? ""))) this.#shine(one, look);
      return;
    }
    this.#travellers.push({ steps, look, since: performance.now() + delay, step: -1, dots: [] });
    if (!this.#frame) this.#frame = requestAnimationFrame(this.#move);
  }

  stop(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    for (const one of this.#travellers) one.dots.forEach((dot) => dot.remove());
    this.#travellers = [];
  }

  #move = (now: number): void => {
    this.#travellers = this.#travellers.filter((one) => this.#along(one, now));
    this.#frame = this.#travellers.length ? requestAnimationFrame(this.#move) : 0;
  };

  /** Whether it is still on its way. */
  #along(one: Traveller, now: number): boolean {
    const passed = (now - one.since) / STEP_MS;
    if (passed < 0) return true;
    const step = Math.floor(passed);
    if (step !== one.step) this.#begin(one, step);
    const edges = one.steps[step];
    if (!edges) return false;
    const share = eased(passed - step);
    edges.forEach((id, at) => {
      const path = this.#paths.get(id);
      const dot = one.dots[at];
      if (!dot) return;
      if (!path) return dot.setAttribute("visibility", "hidden");
      const point = path.getPointAtLength(this.#length(path) * share);
      dot.setAttribute("transform", `translate(${point.x.toFixed(1)} ${point.y.toFixed(1)})`);
      dot.removeAttribute("visibility");
    });
    return true;
  }

  #begin(one: Traveller, step: number): void {
    for (const id of one.steps[step - 1] ?? []) this.#shine(id.split(">")[1] ?? "", one.look);
    one.step = step;
    one.dots.forEach((dot) => dot.remove());
    one.dots = (one.steps[step] ?? []).map(() => {
      const dot = document.createElementNS(SVG, "circle");
      dot.setAttribute("r", "4.5");
      dot.setAttribute("class", `dot ${one.look}`);
      dot.setAttribute("visibility", "hidden");
      this.layer.append(dot);
      return dot;
    });
  }

  #shine(node: string, look: string): void {
    this.light(node, look, true);
    setTimeout(() => this.light(node, look, false), LIT_MS);
  }

  #length(path: SVGPathElement): number {
    const d = path.getAttribute("d") ?? "";
    const known = this.#lengths.get(path);
    if (known?.d === d) return known.length;
    const length = path.getTotalLength();
    this.#lengths.set(path, { d, length });
    return length;
  }
}

function eased(share: number): number {
  return share < 0.5 ? 2 * share * share : 1 - (2 - 2 * share) ** 2 / 2;
}
