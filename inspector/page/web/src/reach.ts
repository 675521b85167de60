/** Who hears whom: a loss at step s, down, and how much of it arrives at step t, across. */
import { find, html, svg, write } from "./dom";
import { GRADIENT } from "./colours";
import { begin, isReversed, type Run } from "./data";
import type { Colours } from "./colours";
import { takeAlong } from "./take";
import { fromLog, number, shortened } from "./text";

export class Reach {
  #map = html("canvas", { role: "img" });
  #edge = svg("svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
  #across = html("div", { class: "cross v" });
  #along = html("div", { class: "cross h" });
  #square: HTMLElement;
  #run!: Run;
  #row = 0;
  #t = 0;
  #size = 1;

  constructor(
    private root: HTMLElement,
    private colours: Colours,
    private move: (t: number) => void,
  ) {
    this.#square = find(root, "#reach .square");
    this.#square.append(this.#map, this.#edge, this.#across, this.#along);
    find(root, "#reach").append(
      takeAlong(
        () => `${this.#run.label} reach`,
        () => [this.#square],
        () => this.#table(),
      ),
    );
    const here = (e: PointerEvent) => {
      const box = this.#square.getBoundingClientRect(),
        part = (v: number) => Math.min(0.9999, Math.max(0, v));
      this.#row = Math.floor(part((e.clientY - box.top) / box.height) * this.#rows);
      this.move(Math.floor(part((e.clientX - box.left) / box.width) * this.#run.T));
    };
    this.#square.addEventListener("pointerdown", e => {
      this.#square.setPointerCapture(e.pointerId);
      here(e);
    });
    this.#square.addEventListener("pointermove", e => {
      if (e.pointerType === "mouse" || e.buttons) here(e);
    });
    this.#square.addEventListener("keydown", e => {
      const by: Record<string, [number, number]> = {
        ArrowLeft: [-1, 0],
        ArrowRight: [1, 0],
        ArrowUp: [0, -1],
        ArrowDown: [0, 1],
      };
      if (!by[e.key] || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault();
      e.stopPropagation();
      const far = e.shiftKey ? 10 : 1;
      this.#row = Math.max(0, Math.min(this.#rows - 1, this.#row + far * by[e.key][1]));
      this.move(this.#t + far * by[e.key][0]);
    });
  }
  get #rows() {
    return this.#run.reach!.map.rows;
  }
  get #steps() {
    return this.#run.reach!.steps;
  }

  show(run: Run): void {
    this.#run = run;
    const found = run.reach;
    find(this.root, "#reach").hidden = !found;
    if (!found) return;
    this.#row = Math.max(
      0,
      this.#steps.findLastIndex(s => s <= begin(run)),
    );
    this.#map.setAttribute(
      "aria-label",
      `Reach: how much of the loss of every step arrives at ${found.state} at every step`,
    );
    this.#square.setAttribute("aria-label", "Map of reach; arrows move through it");
    const pooled =
      found.pool > 1
        ? `${found.map.rows} × ${found.map.columns} cells, each the largest of ${found.pool} × ${found.pool} steps. `
        : "";
    write(
      find(this.root, "#reach small"),
      `${pooled}Down: step s ${found.note || "of a loss"}. Across: step t of ${shortened(found.state, 40)}. Line: where 1 % is left.`,
    );
    this.draw();
  }
  draw(): void {
    const found = this.#run?.reach;
    if (!found) return;
    const { q, rows, columns } = found.map,
      ramp = this.colours.ramp(GRADIENT),
      context = this.#map.getContext("2d")!;
    this.#map.width = columns;
    this.#map.height = rows;
    const image = context.createImageData(columns, rows);
    new Uint32Array(image.data.buffer).forEach((_, i, pixels) => {
      pixels[i] = ramp[q[i] && found.map.hi <= found.map.lo ? 255 : q[i]];
    });
    context.putImageData(image, 0, 0);
    this.#edge.setAttribute("viewBox", `0 0 ${this.#run.T} ${rows}`);
    let d = "";
    const edge = (r: number) => this.#steps[r] + (isReversed(this.#run) ? 1 : -1) * found.horizon[r],
      isThere = (r: number) => edge(r) >= 0 && edge(r) < this.#run.T;
    for (let r = 0; r < rows; r++)
      if (isThere(r)) d += `${d && isThere(r - 1) ? "L" : "M"}${edge(r) + 0.5},${r}V${r + 1}`;
    this.#edge.replaceChildren(svg("path", { d: d || "M0,0" }));
  }
  /** A row a step of the loss; what is paler than the palest colour is left empty. */
  #table(): (string | number)[][] {
    const { map, pool } = this.#run.reach!,
      { q, lo, hi, rows, columns } = map;
    const value = (v: number) => (v > 1 || (v && hi <= lo) ? 10 ** (lo + ((v - 1) / 254) * (hi - lo)) : "");
    return [
      ["loss at step", ...Array.from({ length: columns }, (_, c) => `t = ${c * pool}`)],
      ...Array.from({ length: rows }, (_, r) => [
        this.#steps[r],
        ...Array.from(q.subarray(r * columns, (r + 1) * columns), value),
      ]),
    ];
  }
  resize(size: number): void {
    this.#size = size;
  }
  at(t: number): void {
    const found = this.#run.reach;
    this.#t = t;
    if (!found) return;
    const { q, lo, hi, rows, columns } = found.map,
      s = this.#steps[this.#row],
      isBack = isReversed(this.#run),
      back = found.horizon[this.#row];
    this.#across.style.transform = `translateX(${((t + 0.5) / this.#run.T) * this.#size}px)`;
    this.#along.style.transform = `translateY(${((this.#row + 0.5) / rows) * this.#size}px)`;
    const v = q[this.#row * columns + Math.floor(t / found.pool)],
      last = s + found.pool - 1;
    const how =
      v > 1 || (v && hi <= lo)
        ? `with ${fromLog(lo + ((v - 1) / 254) * (hi - lo))}`
        : v === 1
          ? `with ${fromLog(lo)} or less`
          : (isBack ? t < s : t > last)
            ? "not at all: it lies ahead"
            : "with nothing";
    const horizon = Number.isFinite(back)
      ? `1 % of it is left ${number(back)} steps back`
      : `more than 1 % of it reaches the ${isBack ? "last" : "first"} step`;
    write(
      find(this.root, "#reach p"),
      `A loss at step ${s.toLocaleString("en")} reaches ${shortened(found.state, 40)} at step ${t.toLocaleString("en")} ${how}; ${horizon}.`,
    );
  }
}
