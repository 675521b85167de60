/** Which steps train the weights: the norm of each step's own contribution, a row a parameter. */
import { write } from "../dom";
import { column, columns } from "../data";
import { fitName } from "../measure";
import { percent } from "../text";
import { keyOf, Marks } from "./marks";
import { canvas, heading, heat, row, type Scene, type Track } from "./track";

const MOST = 24;

export class Weights implements Track {
  readonly elements: HTMLElement[] = [];
  #marks: Marks;
  #layered: boolean;
  #rows: {
    name: string;
    layer: string;
    row: HTMLElement;
    q: Uint8Array;
    share: (c: number) => number;
    picture: HTMLCanvasElement;
    label: HTMLElement;
    value: HTMLElement;
  }[];

  constructor(
    private scene: Scene,
    layer: string,
  ) {
    const { run } = scene,
      { names, norms, layers } = run.weights!,
      n = columns(run);
    this.#layered = new Set(layers).size > 1;
    const shown = this.#layered ? names : names.slice(0, MOST),
      rest = names.length > shown.length ? `; the first ${MOST} of ${names.length} parameters` : "";
    const { head, legend } = heading(
      "Which steps train the weights",
      `norm of each step’s share; the darker, the more (square root)${rest}`,
    );
    legend.append(...keyOf(run));
    this.elements.push(head);
    this.#rows = shown.map((parameter, k) => {
      const own = norms.row(k, n),
        { row: box, name, plot, value } = row("weight", 14),
        picture = canvas(`${parameter}: share of each step`);
      let most = 0,
        sum = 0;
      for (let c = 0; c < n; c++) {
        const v = own.at(c) || 0;
        if (v < Infinity) {
          most = Math.max(most, v);
          sum += v;
        }
      }
      name.title = parameter;
      plot.append(picture);
      this.elements.push(box);
      const q = Uint8Array.from({ length: n }, (_, c) => {
        const v = own.at(c);
        return v > 0 && most ? 1 + Math.round(254 * Math.sqrt(Math.min(1, v / most))) : 0;
      });
      return {
        name: this.#layered ? parameter.replace(/_l\d+(_reverse)?$/, "") : parameter,
        layer: layers?.[k] ?? "",
        row: box,
        q,
        share: c => (sum ? own.at(c) / sum : NaN),
        picture,
        label: name,
        value,
      };
    });
    this.#marks = new Marks(scene);
    this.elements.push(...this.#marks.elements);
    this.choose(layer);
  }
  /** In a stack those of one layer, and what belongs to none. */
  choose(layer: string): void {
    for (const one of this.#rows) one.row.hidden = this.#layered && one.layer !== layer && one.layer !== "";
  }
  draw(): void {
    const { run, time, colours } = this.scene,
      ramp = colours.ramp(["--paper", "--g3", "--g5", "--g6"]);
    const shown = this.#rows.filter(({ row }) => !row.hidden),
      room = (shown[0]?.label.clientWidth ?? 100) - 9;
    for (const { q, picture, name, label } of shown) {
      heat(picture, q, 1, columns(run), run.pool, time, ramp, true);
      write(label, fitName(name, room, 12));
    }
    this.#marks.draw();
  }
  at(t: number): void {
    const c = column(this.scene.run, t);
    for (const { share, value, row } of this.#rows) if (!row.hidden) write(value, percent(share(c)));
  }
  table() {
    const { run } = this.scene,
      { names, norms } = run.weights!,
      n = columns(run);
    return [
      ["t", ...names],
      ...Array.from({ length: n }, (_, c) => [c * run.pool, ...names.map((_, k) => norms.at(k * n + c))]),
    ];
  }
}
