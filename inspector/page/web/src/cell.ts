/** The drawing: a few steps side by side around the cursor. Moving makes no new element: they take other colours. */
import { svg } from "./dom";
import { column, columns, isReversed, range, type Level, type Norms, type Run, type Tile } from "./data";
import { hands } from "./hands";
import { dress, drawEnds, drawTile, fading, nameOf, tell, type At, type Drawn, type Part } from "./tile";

const LEFT = 92,
  RIGHT = 36,
  BEYOND = 96,
  DEEPEST = 10,
  MOST = 7,
  LARGEST = 1.15,
  READABLE = 0.6,
  PAD = 6,
  TALLEST = 600,
  NEIGHBOURS = 1.6;
export interface Selected {
  kind: "line" | "shape";
  tile: number;
  index: number;
}
interface Slot {
  group: SVGGElement;
  veil?: SVGElement;
  part: Part;
  kinds: Map<number, Drawn>;
  drawn?: Drawn;
  tile: number;
  step: number;
  told: number;
}
type Box = [x: number, y: number, width: number, height: number];

export class Cell {
  readonly element = svg("svg", {
    class: "cell",
    role: "application",
    tabindex: 0,
    "aria-roledescription": "drawing",
    "aria-label":
      "One timestep after the other, drawn from the graph. Enter goes into it, arrows then follow the wiring.",
  });
  selected: Selected | null = null;
  /** The shapes that a step of a lecture, or the keyboard, points at. */
  onselect: () => void = () => {};
  ondrag: (steps: number) => void = () => {};
  start = 0;
  shown = 1;
  t = 0;
  level!: Level;
  run!: Run;
  #slots: Slot[] = [];
  #low = 0;
  #high = 0;
  #flip = 0;
  #period = 1;
  #first = svg("g");
  #last = svg("g");
  #room = RIGHT;
  /** What is seen; and all that there is to see, loss included. */
  #box: Box = [0, 0, 1, 1];
  #world: Box = [0, 0, 1, 1];
  #size: [number, number] = [1, 1];
  #home = 1;
  #least = 1;
  #layer = "";
  #dragged = 0;

  constructor() {
    const e = this.element;
    hands(e, {
      drag: (dx, dy) => {
        if (this.isNear) {
          const s = this.#scale;
          this.#look(this.#box[0] - dx / s, this.#box[1] - dy / s, s);
          return true;
        }
        this.#dragged -= dx;
        const step = (this.#period * this.#scale) / 2,
          whole = Math.trunc(this.#dragged / step);
        if (whole) {
          this.#dragged -= whole * step;
          this.ondrag(whole);
        }
        return true;
      },
      pan: (dx, dy) => this.#look(this.#box[0] - dx / this.#scale, this.#box[1] - dy / this.#scale, this.#scale),
      zoom: (by, x, y) => {
        const r = e.getBoundingClientRect();
        this.zoom(by, (x - r.left) / r.width, (y - r.top) / r.height);
      },
      tap: target => this.#tap(target),
    });
    e.addEventListener("dblclick", () => this.reset());
    e.addEventListener("pointerover", () => this.tell());
  }
  get #scale() {
    return this.#size[0] / this.#box[2];
  }
  /** Whether there is more to see than is seen. */
  get isNear() {
    return this.#scale > this.#least * 1.01;
  }
  kind(t: number): number {
    return this.level.tileOf?.[t] ?? 0;
  }
  tile(t = this.t): Tile {
    return this.level.tiles[this.kind(t)];
  }
  #tap(target: Element): void {
    const hit = target.closest<SVGElement>("[data-kind]");
    if (!hit) return this.select(null);
    const slot = this.#slots[Number(hit.dataset.slot)];
    this.select({ kind: hit.dataset.kind as "line" | "shape", tile: slot.tile, index: Number(hit.dataset.index) });
  }
  select(selected: Selected | null): void {
    this.selected = selected;
    this.#mark();
    this.onselect();
  }
  #mark(): void {
    const s = this.selected;
    for (const { drawn, tile } of this.#slots)
      if (drawn)
        for (const kind of ["line", "shape"] as const)
          drawn[`${kind}s`].forEach((g, i) =>
            g.classList.toggle("selected", s?.kind === kind && s.tile === tile && s.index === i),
          );
  }

  /** The drawing of a run at one level, in as many steps as there is room for. */
  build(
    run: Run,
    level: Level,
    width: number,
    tallest: number,
    many = MOST,
    largest = LARGEST,
    readable = READABLE,
  ): void {
    this.run = run;
    this.level = level;
    this.selected = null;
    const { tiles } = level,
      top = Math.min(...tiles.map(t => t.top)),
      bottom = Math.max(...tiles.map(t => t.bottom));
    this.#period = Math.max(...tiles.map(t => t.period));
    const seen = range(tiles.map(t => t.lineNorms)) ?? [0, 0];
    this.#high = seen[1];
    this.#low = Math.max(seen[0], seen[1] - DEEPEST);
    // A stack that is too high to be read as a whole is seen layer by layer.
    const height = bottom - top + 2 * PAD,
      seenOf = readable > READABLE ? tallest : Math.max(tallest, Math.min(TALLEST, height * READABLE)),
      layer = (NEIGHBOURS * height) / Math.max(...tiles.map(t => t.frames.length)),
      all = tallest / height;
    const wished = Math.max(readable, Math.min(largest, all < READABLE && layer < height ? seenOf / layer : all));
    this.shown = Math.max(
      1,
      Math.min(many, run.T, Math.floor((width / (0.82 * wished) - LEFT - RIGHT) / this.#period)),
    );
    const beyond = Math.max(0, ...level.last.shapes.map(s => s.x + s.w / 2 + 12 - this.#period));
    this.#room = beyond < BEYOND ? Math.max(RIGHT, beyond) : RIGHT;
    this.#first = drawEnds(level.first, this.#low, this.#high);
    this.#last = drawEnds(level.last, this.#low, this.#high);
    const parts: Part[] = [">", ...Array<Part>(this.shown).fill("all"), "<"];
    this.#slots = parts.map((part, i) => ({
      group: svg("g", { transform: `translate(${(i - 1) * this.#period} 0)` }),
      part,
      kinds: new Map(),
      tile: -1,
      step: -1,
      told: -1,
    }));
    const veils = fading(tiles);
    for (const slot of this.#slots) if (slot.part !== "all") slot.veil = veils[slot.part];
    this.element.replaceChildren(veils.defs, ...this.#slots.map(s => s.group), this.#first, this.#last);
    const across = this.shown * this.#period + this.#room + LEFT;
    this.#home = Math.min(wished, width / across);
    const spare = Math.max(0, width / this.#home - across) / 2;
    this.#world = [-LEFT - spare, top - PAD, across + spare + Math.max(spare, beyond - this.#room), height];
    // A lecture has no room to grow: it moves through what is too high.
    this.#size = [width, Math.round(Math.min(height * this.#home, seenOf))];
    this.#least = Math.min(this.#home, this.#size[1] / height);
    this.element.style.height = `${this.#size[1]}px`;
    const orders = Math.max(1, ...tiles.flatMap(t => t.lines.map(l => l.order)));
    this.element.style.setProperty("--orders", String(orders));
    this.start = Math.max(0, Math.min(run.T - this.shown, this.t - this.shown + 1));
    this.reset();
  }

  #look(x: number, y: number, scale: number): void {
    scale = Math.max(this.#least, Math.min(8 * this.#home, scale));
    const [left, top, wide, high] = this.#world,
      w = this.#size[0] / scale,
      h = this.#size[1] / scale;
    const held = (v: number, from: number, size: number, seen: number) =>
      seen >= size ? from + (size - seen) / 2 : Math.max(from, Math.min(from + size - seen, v));
    this.#box = [held(x, left, wide, w), held(y, top, high, h), w, h];
    this.element.setAttribute("viewBox", this.#box.map(v => v.toFixed(1)).join(" "));
    this.element.classList.toggle("near", this.isNear);
  }
  zoom(by: number, fx = 0.5, fy = 0.5): void {
    if (!this.level) return;
    const [x, y, w, h] = this.#box,
      scale = Math.max(this.#least, Math.min(8 * this.#home, this.#scale / by)),
      wide = this.#size[0] / scale,
      high = this.#size[1] / scale;
    this.#look(x + (w - wide) * fx, y + (h - high) * fy, scale);
  }
  /** As it was at first: all steps that are shown, and in a stack too high for that the layer that was chosen. */
  reset(): void {
    this.focus(this.#layer);
  }
  focus(layer: string): void {
    this.#layer = layer;
    if (!this.level) return;
    const { frames } = this.tile(),
      chosen = frames.find(f => f.label === layer) ?? frames[0],
      [, y, , height] = chosen?.box ?? [0, 0, 0, 0];
    this.#look(this.#world[0], y + height / 2 - this.#size[1] / this.#home / 2, this.#home);
  }
  /** All layers at once, or as at first. */
  fit(): void {
    if (
      this.level &&
      this.#least < this.#home * 0.99 &&
      this.#scale > this.#least * 1.01 &&
      Math.abs(this.#scale - this.#home) < 0.01
    )
      this.#look(this.#world[0], this.#world[1], this.#least);
    else this.reset();
  }

  /** Show the timesteps around t; during a sweep what lies before t is still to come, and sparks run through t. */
  update(t: number, sweeping: boolean, sparks: boolean): void {
    const { T } = this.run,
      W = this.shown;
    this.t = t;
    if (t < this.start) this.start = Math.max(0, t - W + 1);
    else if (t >= this.start + W) this.start = Math.max(0, Math.min(T - W, t));
    this.#flip ^= 1;
    this.#slots.forEach((slot, i) => {
      const step = this.start + i - 1,
        there = step >= 0 && step < T;
      slot.group.style.display = there ? "" : "none";
      if (!there) {
        slot.step = -1;
        return;
      }
      if (slot.step !== step) this.#put(slot, step, i);
      const now = step === t && slot.part === "all",
        final = isReversed(this.run) ? 0 : T - 1,
        ahead = sweeping && (isReversed(this.run) ? step > t : step < t);
      slot.group.setAttribute(
        "class",
        `${now ? "now" : ""}${now && sparks ? ` sweep${this.#flip}` : ""}${ahead ? " ahead" : ""}${step === final ? " final" : ""}`,
      );
    });
    this.#first.style.display = this.start === 0 ? "" : "none";
    const end = T - 1 - this.start;
    this.#last.style.display = end < W ? "" : "none";
    if (end < W) this.#last.setAttribute("transform", `translate(${end * this.#period} 0)`);
    this.element.parentElement?.classList.toggle("more", this.start > 0);
  }
  #put(slot: Slot, step: number, i: number): void {
    const kind = this.kind(step),
      tile = this.level.tiles[kind];
    if (slot.tile !== kind || !slot.drawn) {
      slot.drawn = slot.kinds.get(kind) ?? drawTile(tile, this.level.gates, slot.part, i);
      slot.kinds.set(kind, slot.drawn);
      slot.tile = kind;
      slot.group.replaceChildren(slot.drawn.group, ...(slot.veil ? [slot.veil] : []));
    }
    slot.step = step;
    slot.told = -1;
    dress(slot.drawn, tile, this.#at(step));
    if (this.selected) this.#mark();
  }
  #at(step: number): At {
    const { run } = this;
    return { step, column: column(run, step), columns: columns(run), low: this.#low, high: this.#high };
  }
  /** The numbers of all that is drawn, for a pointer that rests on it. */
  tell(): void {
    for (const slot of this.#slots) {
      if (!slot.drawn || slot.step < 0 || slot.told === slot.step) continue;
      tell(slot.drawn, this.level.tiles[slot.tile], this.#at(slot.step));
      slot.told = slot.step;
    }
  }
  /** Marks lines and shapes of one step, for a lecture, and brings them into view where not all of it is. */
  point(t: number, lines: Set<number>, shape: number): void {
    if (this.level && t >= 0 && this.isNear) {
      const tile = this.tile(t),
        told = tile.shapes[shape]?.y ?? mean([...lines].flatMap(k => tile.lines[k].d.flat().map(([, y]) => y)));
      if (told !== null) this.#look(this.#world[0], told - this.#box[3] / 2, this.#home);
    }
    for (const { drawn, step, part } of this.#slots) {
      drawn?.lines.forEach((g, k) => g.classList.toggle("told", part === "all" && step === t && lines.has(k)));
      drawn?.shapes.forEach((g, k) => g.classList.toggle("told", part === "all" && step === t && shape === k));
    }
  }
  /** What is selected, as a name and its numbers over time. */
  series(): { name: string; about: string; keys: string[]; norms: Norms; means?: Float32Array } | null {
    const s = this.selected;
    if (!s) return null;
    const n = columns(this.run);
    const tile = this.level.tiles[s.tile];
    if (s.kind === "line") {
      const line = tile.lines[s.index];
      return { name: nameOf(line), about: "", keys: [line.to, line.from], norms: tile.lineNorms.row(s.index, n) };
    }
    const shape = tile.shapes[s.index],
      about = shape.about;
    return {
      name: shape.name ?? shape.key,
      about,
      keys: [shape.key],
      norms: tile.shapeNorms.row(s.index, n),
      means: tile.shapeMeans.subarray(s.index * n, (s.index + 1) * n),
    };
  }
}
const mean = (values: number[]) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);
