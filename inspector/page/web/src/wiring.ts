/** The keyboard inside the drawing: arrows go along the wiring, into the step before and the step after, too. */
import type { Cell } from "./cell";
import type { Line, Shape } from "./data";
import { fromLog } from "./text";
import { column, columns } from "./data";

const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
interface Place {
  shape: number;
  by: number;
}

export class Wiring {
  inside = false;
  constructor(
    private cell: Cell,
    private move: (t: number) => void,
    private say: (words: string) => void,
  ) {
    cell.element.addEventListener("keydown", event => this.#hear(event));
    cell.element.addEventListener("blur", () => {
      this.inside = false;
    });
  }
  #hear(e: KeyboardEvent): void {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "+" || e.key === "=" || e.key === "-") {
      this.cell.zoom(e.key === "-" ? 1.4 : 1 / 1.4);
      return this.#taken(e);
    }
    if (e.key === "Enter" && !this.inside) {
      this.inside = true;
      this.#go({ shape: this.#begin(), by: 0 });
      return this.#taken(e);
    }
    if (!this.inside) return;
    if (e.key === "Escape") {
      this.inside = false;
      this.cell.select(null);
      this.say("left the drawing");
      return this.#taken(e);
    }
    const way = ARROWS[e.key];
    if (!way) return;
    const next = this.#next(way);
    if (next) this.#go(next);
    this.#taken(e);
  }
  #taken(e: Event): void {
    e.preventDefault();
    e.stopPropagation();
  }
  get #at(): number {
    const s = this.cell.selected;
    return s?.kind === "shape" && s.tile === this.cell.kind(this.cell.t) ? s.index : 0;
  }
  /** What was clicked, or the first named state. */
  #begin(): number {
    if (this.cell.selected?.kind === "shape") return this.#at;
    const { shapes } = this.cell.tile(),
      states = this.cell.run.states;
    return Math.max(
      0,
      shapes.findIndex(s => s.name !== undefined && states.includes(s.name)),
    );
  }
  #go({ shape, by }: Place): void {
    if (by) this.move(this.cell.t + by);
    this.cell.select({ kind: "shape", tile: this.cell.kind(this.cell.t), index: shape });
    const tile = this.cell.tile(),
      { run, t } = this.cell,
      found = tile.shapes[shape];
    this.say(
      `${found.about || found.key}, step ${t}, gradient norm ${fromLog(tile.shapeNorms.log(shape * columns(run) + column(run, t)))}`,
    );
  }
  /** The neighbour along a line that lies most in that direction; else the nearest shape there. */
  #next(way: [number, number]): Place | null {
    const tile = this.cell.tile(),
      from = tile.shapes[this.#at],
      linked = this.#neighbours(from);
    const best = (places: Place[], far: number) => {
      let found: Place | null = null,
        score = 0;
      for (const place of places) {
        const to = this.#shapes(place.by)[place.shape];
        if (!to || (!place.by && place.shape === this.#at)) continue;
        const dx = to.x + place.by * tile.period - from.x,
          dy = to.y - from.y,
          length = Math.hypot(dx, dy) || 1;
        const along = (dx * way[0] + dy * way[1]) / length,
          value = along > 0.38 ? along / (1 + length / far) : 0;
        if (value > score) [found, score] = [place, value];
      }
      return found;
    };
    return (
      best(linked, 1000) ??
      best(
        tile.shapes.map((_, shape) => ({ shape, by: 0 })),
        60,
      )
    );
  }
  #shapes(by: number): Shape[] {
    const t = this.cell.t + by;
    return t >= 0 && t < this.cell.run.T ? this.cell.tile(t).shapes : [];
  }
  #neighbours({ key }: Shape): Place[] {
    const places: Place[] = [],
      add = (wanted: string, by: number) => {
        const shape = this.#shapes(by).findIndex(s => s.key === wanted);
        if (shape >= 0) places.push({ shape, by });
      };
    const from = (line: Line) =>
      add(line.from.replace(/^[<>]/, ""), line.from.startsWith("<") ? -1 : line.from.startsWith(">") ? 1 : 0);
    for (const line of this.cell.tile().lines) {
      if (line.to === key) from(line);
      if (line.from === key) add(line.to, 0);
    }
    for (const by of [1, -1])
      if (this.#shapes(by).length)
        for (const line of this.cell.tile(this.cell.t + by).lines)
          if (line.from === `${by > 0 ? "<" : ">"}${key}`) add(line.to, by);
    return places;
  }
}
