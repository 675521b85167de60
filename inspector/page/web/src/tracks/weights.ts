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
  #rows: {
    name: string;
    q: Uint8Array;
    share: (c: number) => number;
    picture: HTMLCanvasElement;
    label: HTMLElement;
    value: HTMLElement;
  }[];

  constructor(private scene: Scene) {
    const { run } = scene,
      { names, norms } = run.weights!,
      n = columns(run),
      shown = names.slice(0, MOST);
    const rest = names.length > MOST ? `; the first ${MOST} of ${names.length} parameters` : "";
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
      return { name: parameter, q, share: c => (sum ? own.at(c) / sum : NaN), picture, label: name, value };
    });
    this.#marks = new Marks(scene);
    this.elements.push(...this.#marks.elements);
  }
  draw(): void {
    const { run, time, colours } = this.scene,
      ramp = colours.ramp(["--paper", "--g3", "--g5", "--g6"]);
    const room = (this.#rows[0]?.label.clientWidth ?? 100) - 9;
    for (const { q, picture, name, label } of this.#rows) {
      heat(picture, q, 1, columns(run), run.pool, time, ramp, true);
      write(label, fitName(name, room, 12));
    }
    this.#marks.draw();
  }
  at(t: number): void {
    const c = column(this.scene.run, t);
    for (const { share, value } of this.#rows) write(value, percent(share(c)));
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
