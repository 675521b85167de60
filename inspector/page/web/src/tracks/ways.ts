/** By which way the gradient arrives at a state: shares that add up to one, stacked; what lies below zero cancels. */
import { html, svg, write } from "../dom";
import { ofGate, ofState } from "../colours";
import { column, columns, type Run } from "../data";
import { fitName } from "../measure";
import { layerOf, percent, shortened, within } from "../text";
import { choice, heading, plotted, row, type Scene, type Track } from "./track";

const HEIGHT = 96,
  TOP = 1.25,
  BOTTOM = -0.3,
  SHOWN = 0.001;

export class Ways implements Track {
  readonly elements: HTMLElement[];
  #state: number;
  #plot = plotted("");
  #keys = html("span", { class: "chips" });
  #states = html("span", { class: "chips" });
  #name: HTMLElement;
  #values: { way: number; value: HTMLElement }[] = [];

  constructor(
    private scene: Scene,
    layer: string,
    private wanted: string | null,
  ) {
    const { run } = scene,
      { states } = run.ways!;
    this.#state = Math.max(0, states.indexOf(wanted ?? ""));
    const { head, legend } = heading(
      "By which way it arrives",
      "shares of the gradient; they add up to 1, what lies below 0 cancels",
    );
    const { row: box, name, plot, value } = row("ways", HEIGHT);
    this.#name = name;
    plot.append(this.#plot);
    legend.append(this.#states, this.#keys);
    for (const share of [1, 0]) {
      const tick = html("span", { class: "tick" }, String(share));
      tick.style.top = `${y(share)}px`;
      value.append(tick);
    }
    this.elements = [head, box];
    this.choose(layer);
  }
  /** In a stack the states of one layer. */
  choose(layer: string): void {
    const { states } = this.scene.run.ways!,
      own = states
        .map((name, k) => ({ name, k }))
        .filter(({ name }) => states.length <= 3 || layerOf(name) === layer || !layerOf(name));
    if (!own.some(({ k }) => k === this.#state))
      this.#state = own.find(({ name }) => name === this.wanted)?.k ?? own[own.length - 1]?.k ?? this.#state;
    const names = own.map(({ name }) => name),
      press = (k: number) => {
        this.#state = own[k].k;
        this.#key();
        this.draw();
        this.at(this.scene.time.t);
      };
    this.#states.replaceChildren(
      names.length > 1
        ? choice(names, names.indexOf(states[this.#state]), "State at which it arrives", press, name =>
            layerOf(name) === layer ? within(name) : name,
          )
        : "",
    );
    this.#key();
  }
  #share(c: number, way: number): number {
    const { ways, shares } = this.scene.run.ways!;
    return shares[(this.#state * columns(this.scene.run) + c) * ways.length + way];
  }
  #key(): void {
    const { run } = this.scene,
      n = columns(run);
    this.#keys.replaceChildren();
    this.#values = [];
    write(this.#name, `at ${fitName(run.ways!.states[this.#state], 80, 12.5)}`);
    this.#plot.setAttribute("aria-label", `Shares of the gradient by ${run.ways!.states[this.#state]}, by way`);
    run.ways!.ways.forEach((name, way) => {
      let most = 0;
      for (let c = 0; c < n; c++) most = Math.max(most, Math.abs(this.#share(c, way) || 0));
      if (most < SHOWN) return;
      const value = html("b"),
        swatch = html("i");
      swatch.style.background = `var(${colourOf(run, name)})`;
      this.#keys.append(html("span", { class: "chip", title: name }, swatch, shortened(name, 22), value));
      this.#values.push({ way, value });
    });
  }
  draw(): void {
    const { run, time } = this.scene,
      n = columns(run),
      w = time.width,
      many = Math.max(1, Math.floor(1 / (time.step * run.pool)));
    const first = Math.max(0, Math.floor(time.from / run.pool)),
      last = Math.min(n - 1, Math.ceil(time.to / run.pool) - 1);
    const up = new Float64Array(n),
      down = new Float64Array(n),
      made: SVGElement[] = [];
    for (const { way } of this.#values) {
      let there = "",
        back = "";
      for (let c = first; c <= last; c += many) {
        let sum = 0,
          count = 0;
        for (let k = c; k < Math.min(last + 1, c + many); k++) {
          const v = this.#share(k, way);
          if (!Number.isNaN(v)) {
            sum += v;
            count++;
          }
        }
        const v = count ? sum / count : 0,
          base = v >= 0 ? up : down,
          from = base[c];
        base[c] += v;
        const a = time.x(c * run.pool - 0.5).toFixed(1),
          b = time.x(Math.min(n, c + many) * run.pool - 0.5).toFixed(1);
        there += `${there ? "L" : "M"}${a},${y(base[c]).toFixed(1)}L${b},${y(base[c]).toFixed(1)}`;
        back = `L${b},${y(from).toFixed(1)}L${a},${y(from).toFixed(1)}${back}`;
      }
      const path = svg("path", { class: "area", d: `${there}${back}Z` });
      path.style.fill = `var(${colourOf(run, run.ways!.ways[way])})`;
      made.push(path);
    }
    this.#plot.setAttribute("viewBox", `0 0 ${w} ${HEIGHT}`);
    this.#plot.replaceChildren(...made, svg("path", { class: "grid", d: `M0,${y(0)}H${w}M0,${y(1)}H${w}` }));
  }
  at(t: number): void {
    const c = column(this.scene.run, t);
    for (const { way, value } of this.#values) write(value, percent(this.#share(c, way)));
  }
  table() {
    const { run } = this.scene,
      { states, ways } = run.ways!,
      n = columns(run);
    const pairs = states.flatMap((s, i) => ways.map((w, k) => ({ name: `${s} by ${w}`, i, k })));
    return [
      ["t", ...pairs.map(p => p.name)],
      ...Array.from({ length: n }, (_, c) => [
        c * run.pool,
        ...pairs.map(p => run.ways!.shares[(p.i * n + c) * ways.length + p.k]),
      ]),
    ];
  }
}

const y = (share: number) => HEIGHT * (1 - (Math.max(BOTTOM, Math.min(TOP, share)) - BOTTOM) / (TOP - BOTTOM));
function colourOf(run: Run, way: string): string {
  if (way === "loss") return "--loss-stroke";
  const gate = run.gates.find(g => g.name === way && !g.state);
  return run.states.includes(way) ? ofState(run, way) : gate ? ofGate(gate) : "--quiet";
}
