/** How much gradient arrives at each step, on a logarithmic scale: this run's states, the other runs thin behind them. */
import { html, svg, write } from "../dom";
import { dashOf, ofState } from "../colours";
import { column, columns, DECADES, isReversed, range, type Norms, type Slider } from "../data";
import { fitLabel, fitName } from "../measure";
import { fromLog, layerOf, power, within } from "../text";
import { apart, between, endOf, outline, reversed } from "./curves";
import { chip, heading, plotted, row, type Scene, type Track } from "./track";

const HEIGHT = 200,
  LOW = 110,
  LEADER = 14,
  /** Decades below its own in which other runs are shown whole; of those that go further so much is seen that they do. */
  BELOW = 10,
  CUT = 4,
  LINE = 12.5;

interface Curve {
  name: string;
  norms: Norms;
  colour: string;
  own: boolean;
  pool: number;
  dash: string;
}

export class Decay implements Track {
  readonly elements: HTMLElement[];
  /** The decades that are shown, and those of the whole run. */
  #low = -1;
  #high = 0;
  #all: [number, number] = [-1, 0];
  #height = HEIGHT;
  #box: HTMLElement;
  #curves: Curve[];
  #plot = plotted("");
  #names = svg("svg", { class: "names", "aria-hidden": "true" });
  #lines = svg("g");
  #extra = svg("g");
  #ticks: HTMLElement;
  #legend: HTMLElement;
  #dots: { dot: SVGElement; norms: Norms; value: HTMLElement }[] = [];
  #supposed: { slider: Slider; norms: Norms; pale: boolean } | null = null;
  #picked: Norms | null = null;

  #others = false;

  constructor(
    private scene: Scene,
    private layer: string,
  ) {
    const { run, runs } = scene,
      others = runs.filter(r => r !== run && r.T === run.T);
    this.#curves = [
      ...others.map(r => ({
        name: r.label,
        norms: r.whole,
        colour: "--quiet",
        own: false,
        pool: r.pool,
        dash: "none",
      })),
      ...run.states
        .filter(s => run.norms[s])
        .map(s => ({
          name: s,
          norms: run.norms[s],
          colour: ofState(run, s),
          own: true,
          pool: run.pool,
          dash: dashOf(run, s),
        })),
    ];
    this.#scale();
    const way = isReversed(run) ? "left to right" : "right to left",
      back = run.backwards.length && !isReversed(run) ? "; states that are read from the end the other way round" : "";
    const pooled = run.pool > 1 ? `; each point the largest of ${run.pool} steps` : "";
    const { head, legend } = heading(
      "How much gradient arrives",
      `‖∂L/∂state‖, logarithmic: read it from ${way}${back}${pooled}`,
    );
    const { row: box, name, plot, value } = row("decay", HEIGHT);
    this.#plot.setAttribute("aria-label", `${run.label}: ${run.verdict.text}`);
    this.#box = plot;
    this.#ticks = value;
    name.append(this.#names);
    plot.append(this.#plot);
    this.#plot.append(this.#lines, this.#extra);
    this.#legend = legend;
    this.#others = others.length > 0;
    this.elements = [head, box];
    this.choose(layer);
  }
  /** In a stack the states of one layer are thick and have numbers; those of the others stay, thin. */
  choose(layer: string): void {
    this.layer = layer;
    for (const { dot } of this.#dots) dot.remove();
    this.#legend.replaceChildren();
    const thick = this.#curves.filter(c => this.#isThick(c)),
      isOne = new Set(thick.map(c => layerOf(c.name))).size < 2;
    this.#dots = thick.map(({ colour, name, norms }) => {
      const dot = svg("circle", { r: 4.5, class: "dot" });
      dot.style.fill = `var(${colour})`;
      this.#plot.append(dot);
      return { dot, norms, value: chip(this.#legend, colour, `‖∂L/∂${isOne ? within(name) : name}‖`) };
    });
    const { band } = this.scene.run;
    if (band) this.#legend.append(html("span", { class: "chip quiet" }, html("i", { class: "wide" }), band.words));
    if (this.#others)
      this.#legend.append(
        html("span", { class: "chip quiet" }, html("i", { class: "thin" }), "other runs, whole state"),
      );
  }
  #isThick(curve: Curve): boolean {
    return curve.own && (layerOf(curve.name) === this.layer || this.scene.run.states.length <= 3);
  }
  /** Its own range; the other runs may add some decades, and must not flatten it. */
  #scale(): void {
    const bands = Object.values(this.scene.run.band?.norms ?? {});
    const own = range([...this.#curves.filter(c => c.own).map(c => c.norms), ...bands]) ??
      range([this.scene.run.whole]) ?? [-1, 0];
    const all = range([...this.#curves.map(c => c.norms), ...bands]) ?? own;
    const high = Math.ceil(Math.min(all[1], own[1] + 6) + 0.05),
      low = Math.max(own[0], high - DECADES);
    this.#low = Math.floor(all[0] < low - BELOW ? low - CUT : all[0]);
    this.#high = high;
    if (this.#high - this.#low < 3) this.#low = this.#high - 3;
    this.#all = [this.#low, this.#high];
  }
  /** Where nothing of it lies in the decades of the whole run, a part of time has decades of its own. */
  #rescale(): void {
    const { time, run } = this.scene,
      columnAt = (t: number) => column(run, Math.max(0, Math.min(run.T - 1, Math.floor(t))));
    const seen = range(
      this.#curves.filter(c => c.own).map(c => c.norms.part(columnAt(time.from), columnAt(time.to - 1) + 1)),
    );
    const isBelow = time.zoomed && seen && seen[1] < this.#all[0];
    [this.#low, this.#high] = isBelow
      ? [Math.floor(Math.max(seen[0] - 1, seen[1] - DECADES)), Math.ceil(seen[1] + 0.5)]
      : this.#all;
  }
  y(log: number): number {
    return Math.max(-9, Math.min(3 * this.#height, this.#height * (1 - (log - this.#low) / (this.#high - this.#low))));
  }
  /** Lower beside a lecture. */
  shrink(isLow: boolean): void {
    this.#height = isLow ? LOW : HEIGHT;
    this.#box.style.height = `${this.#height}px`;
  }

  draw(): void {
    const { time, run } = this.scene,
      w = time.width;
    this.#plot.setAttribute("viewBox", `0 0 ${w} ${this.#height}`);
    this.#rescale();
    const each = Math.max(1, Math.ceil((this.#high - this.#low) / 7)),
      grid: SVGElement[] = [],
      labels: HTMLElement[] = [];
    for (let e = this.#high; e >= this.#low; e--) {
      if (e % each) continue;
      grid.push(svg("path", { class: "grid", d: `M0,${this.y(e)}H${w}` }));
      const tick = html("span", { class: "tick" }, e === 0 ? "1" : e === 1 ? "10" : e === -1 ? "0.1" : power(e));
      tick.style.top = `${this.y(e)}px`;
      labels.push(tick);
    }
    for (const [kind, limit] of Object.entries(run.fold)) {
      const log = Math.log10(limit);
      if (!(log > this.#low + 0.5 && log < this.#high - 0.5)) continue;
      grid.push(
        svg("path", { class: "limit", d: `M0,${this.y(log)}H${w}` }),
        svg("text", { class: "limit-name", x: w - 6, y: this.y(log) - 4 }, `0 in ${kind} below this`),
      );
    }
    for (const t of run.cuts)
      grid.push(svg("path", { class: "cut", d: `M${time.x(t) - time.step / 2},0V${this.#height}` }));
    const zero = this.#curves.filter(c => c.own).map(c => this.#zero(c, this.#isThick(c)));
    this.#lines.replaceChildren(
      ...grid,
      ...this.#curves.flatMap(c => (this.#isThick(c) ? this.#spread(c) : [])),
      ...this.#curves.map(c =>
        this.#stroke(c.norms, this.#isThick(c) ? "own" : c.own ? "other mine" : "other", c.colour, c.pool, c.dash),
      ),
      ...zero.filter(z => z !== null),
    );
    this.#ticks.replaceChildren(...labels);
    this.#drawExtra();
    this.#label();
  }
  #stroke(norms: Norms, css: string, colour?: string, pool = this.scene.run.pool, dash = "none"): SVGElement {
    const path = svg("path", { class: css, d: outline(norms, pool, this.scene.time, log => this.y(log)) });
    if (colour) {
      path.style.stroke = `var(${colour})`;
      path.style.strokeDasharray = dash;
    }
    return path;
  }
  /** Half, and nine tenths, of all that the run is one of. */
  #spread({ name, colour, pool }: Curve): SVGElement[] {
    const rows = this.scene.run.band?.norms[name];
    if (!rows) return [];
    return [
      [0, 4],
      [1, 3],
    ].map(ends => {
      const [lower, upper] = ends.map(k => rows.row(k, columns(this.scene.run)));
      const path = svg("path", {
        class: "spread",
        d: between(lower, upper, pool, this.scene.time, log => this.y(log)),
      });
      path.style.fill = `var(${colour})`;
      return path;
    });
  }
  /** Exactly zero has no logarithm: a dashed line on the floor, never a pale one. */
  #zero({ norms, colour, pool }: Curve, thick: boolean): SVGElement | null {
    const { time } = this.scene;
    let d = "",
      start = -1;
    for (let c = 0; c <= norms.length; c++) {
      const is = norms.log(c) === -Infinity;
      if (is && start < 0) start = c;
      if (!is && start >= 0) {
        d += `M${time.x(start * pool - 0.5).toFixed(1)},${this.#height - 2}H${time.x(c * pool - 0.5).toFixed(1)}`;
        start = -1;
      }
    }
    if (!d) return null;
    const path = svg("path", { class: thick ? "zero" : "zero thin", d }, svg("title", {}, "exactly zero"));
    path.style.stroke = `var(${colour})`;
    return path;
  }
  #drawExtra(): void {
    const made: SVGElement[] = [];
    if (this.#supposed) made.push(this.#stroke(this.#supposed.norms, this.#supposed.pale ? "if pale" : "if"));
    if (this.#picked) made.push(this.#stroke(this.#picked, "pick"));
    this.#extra.replaceChildren(...made);
  }
  /** The curve that a slider asks for; `pale` stands in for one that is still computed. */
  suppose(slider: Slider | null, norms: Norms | null, pale = false): void {
    this.#supposed =
      slider && norms
        ? { slider, norms: slider.kind === "length" ? reversed(norms, this.scene.run) : norms, pale }
        : null;
    this.#drawExtra();
  }
  pick(norms: Norms | null): void {
    this.#picked = norms;
    this.#drawExtra();
  }

  /** Names beside where the curves leave on the left, moved apart where they would lie on each other. */
  #label(): void {
    const { time, run } = this.scene,
      c0 = column(run, Math.floor(time.from));
    const ends = this.#curves.map(c => ({ ...c, y: this.y(endOf(c.norms, c0)) })).sort((a, b) => a.y - b.y);
    const most = Math.floor(this.#height / LINE);
    const shown = ends.length > most ? ends.filter(e => this.#isThick(e)).slice(0, most) : ends;
    const at = apart(
        shown.map(e => Math.min(e.y, this.#height)),
        LINE,
        6,
        this.#height - 4,
      ),
      wide = this.#names.parentElement!.clientWidth || 108;
    this.#names.setAttribute("viewBox", `0 0 ${wide} ${this.#height}`);
    this.#names.replaceChildren(
      ...shown.flatMap((e, k) => {
        const thick = this.#isThick(e),
          isBelow = e.y > this.#height + 1,
          name =
            (isBelow ? "↓ " : "") +
            (e.own ? fitName : fitLabel)(
              e.name,
              wide - LEADER - (isBelow ? 22 : 8),
              thick ? 13 : 11.5,
              thick ? "700" : "400",
            );
        const text = svg(
          "text",
          { class: thick ? "own" : "", x: wide - LEADER - 4, y: at[k] + 4 },
          name,
          svg("title", {}, e.name),
        );
        const leader = svg("path", {
          d: `M${wide - LEADER},${at[k]}L${wide - 4},${Math.min(e.y, this.#height)}H${wide}`,
        });
        text.style.fill = leader.style.stroke = `var(${e.colour})`;
        return [leader, text];
      }),
    );
  }
  at(t: number): void {
    const { run, time } = this.scene,
      c = column(run, t),
      x = time.x(t);
    for (const { dot, norms, value } of this.#dots) {
      const log = norms.log(c);
      dot.style.transform = `translate(${x}px,${this.y(log)}px)`;
      dot.style.visibility = Number.isNaN(log) ? "hidden" : "visible";
      write(value, fromLog(log));
    }
  }
  table() {
    const { run } = this.scene,
      extra = this.#supposed ? [{ name: this.#supposed.slider.words, norms: this.#supposed.norms }] : [];
    const whole = { name: "whole state", norms: run.whole };
    const all = [whole, ...this.#curves.filter(c => c.pool === run.pool), ...extra];
    return [
      ["t", ...all.map(c => c.name)],
      ...Array.from({ length: columns(run) }, (_, c) => [c * run.pool, ...all.map(a => a.norms.at(c))]),
    ];
  }
}
