/** The whole run as one strip of colour, always all of it: where one is, and which part of it the tracks show. */
import { button, find, html, svg, write } from "../dom";
import { GRADIENT, level } from "../colours";
import { column, columns, range } from "../data";
import { fromLog } from "../text";
import { Time } from "../time";
import { canvas, heat, row, type Scene, type Track } from "./track";

/** Decades from pale to dark: what hardly fades must not look as if it had died. */
const DEEPEST = 10,
  SHALLOWEST = 4;

export class Strip implements Track {
  readonly elements: HTMLElement[];
  #all: Time;
  #picture = canvas("Gradient of the whole state at every step, pale to dark");
  #brush = html("div", { class: "brush" }, html("i", { class: "grip left" }), html("i", { class: "grip right" }));
  #cursor = html("div", { class: "mark" });
  #value: HTMLElement;
  #plot: HTMLElement;
  #q: Uint8Array;
  #part = html("span");
  /** What of it is shown below, in words, and the way back. */
  readonly part = html("p", { class: "part" }, this.#part);
  /** Which steps are drawn large above, and what is shown below. */
  readonly above = svg("svg", { class: "lens", "aria-hidden": "true" }, svg("path"));
  readonly below = svg("svg", { class: "lens below", "aria-hidden": "true" }, svg("path"));

  constructor(
    private scene: Scene,
    private shown: (from: number, to: number) => void,
    private moved: (t: number) => void,
  ) {
    const { run } = scene,
      { row: box, name, plot, value } = row("strip", 18);
    [this.#all, this.#value, this.#plot] = [new Time(run.T), value, plot];
    name.append(html("span", { class: "long" }, "whole "), "state");
    plot.append(this.#picture, this.#brush, this.#cursor);
    this.elements = [box];
    const found = range([run.whole]) ?? [0, 0],
      low = Math.min(Math.max(found[0], found[1] - DEEPEST), found[1] - SHALLOWEST);
    this.#q = Uint8Array.from({ length: columns(run) }, (_, c) => level(run.whole.log(c), low, found[1]));
    this.part.append(button("All steps", () => shown(0, run.T)));
    this.#hear();
  }
  draw(): void {
    const { run, time, colours } = this.scene;
    this.#all.width = time.width;
    heat(this.#picture, this.#q, 1, columns(run), run.pool, this.#all, colours.ramp(GRADIENT), true);
    this.frame();
  }
  /** The part of time that the tracks below show. */
  frame(): void {
    const { time, run } = this.scene,
      a = time.from * this.#all.step,
      b = time.to * this.#all.step;
    this.#brush.style.transform = `translateX(${a}px)`;
    this.#brush.style.width = `${b - a}px`;
    this.#brush.classList.toggle("whole", !time.zoomed);
    this.below.classList.toggle("whole", !time.zoomed);
    this.part.hidden = !time.zoomed;
    const [first, last] = [Math.floor(time.from), Math.min(run.T, Math.ceil(time.to)) - 1].map(t =>
      t.toLocaleString("en"),
    );
    write(this.#part, `steps ${first} to ${last} of ${run.T.toLocaleString("en")}`);
    find(this.below, "path").setAttribute("d", `M${a},0C${a},7 0,5 0,12H${time.width}C${time.width},5 ${b},7 ${b},0Z`);
  }
  at(t: number): void {
    this.#cursor.style.transform = `translateX(${this.#all.x(t)}px)`;
    this.#value.textContent = fromLog(this.scene.run.whole.log(column(this.scene.run, t)));
  }
  /** The funnel from the drawing, which is as wide as the page's column, to the steps that it shows. */
  lens(first: number, count: number, left: number, right: number): void {
    const one = this.#all.step,
      a = left + first * one,
      b = left + Math.min(this.#all.T, first + count) * one;
    const end = left + this.#all.width + right;
    find(this.above, "path").setAttribute(
      "d",
      `M0,0C0,9 ${a},5 ${a},16H${Math.max(b, a + 1)}C${Math.max(b, a + 1)},5 ${end},9 ${end},0Z`,
    );
  }
  table() {
    const { run } = this.scene;
    return [
      ["t", "norm of the gradient by the whole state"],
      ...Array.from({ length: columns(run) }, (_, c) => [c * run.pool, run.whole.at(c)]),
    ];
  }
  /** Drag a range to see it; drag what is shown, or its ends, to move it; click to move the cursor. */
  #hear(): void {
    const { time } = this.scene,
      step = (e: PointerEvent) => (e.clientX - this.#plot.getBoundingClientRect().left) / this.#all.step;
    let start = 0,
      base: [number, number] = [0, 0],
      how = "";
    this.#plot.addEventListener("pointerdown", e => {
      e.stopPropagation();
      this.#plot.setPointerCapture(e.pointerId);
      start = step(e);
      base = [time.from, time.to];
      const near = Math.max(6 / this.#all.step, 0);
      how = !time.zoomed
        ? "new"
        : Math.abs(start - base[0]) < near
          ? "left"
          : Math.abs(start - base[1]) < near
            ? "right"
            : start > base[0] && start < base[1]
              ? "pan"
              : "new";
      this.moved(Math.floor(start));
    });
    this.#plot.addEventListener("pointermove", e => {
      if (!e.buttons) return;
      e.stopPropagation();
      const s = step(e),
        by = s - start;
      if (Math.abs(by) * this.#all.step < 4) return;
      if (how === "pan") this.shown(base[0] + by, base[1] + by);
      else if (how === "left") this.shown(Math.min(s, base[1] - 8), base[1]);
      else if (how === "right") this.shown(base[0], Math.max(s, base[0] + 8));
      else this.shown(Math.min(start, s), Math.max(start, s));
    });
    this.#plot.addEventListener("dblclick", () => this.shown(0, this.#all.T));
  }
}
