/** Gates and states: a row a unit, of one sequence, as a mean over the batch would blur them into grey. */
import { html, write } from "../dom";
import { ofGate, VALUES } from "../colours";
import { column, type Gate, type Run } from "../data";
import { layerOf, signed, within } from "../text";
import { canvas, choice, heading, heat, row, type Scene, type Track } from "./track";

/** By page the sequence that was chosen, so that other runs show the same. */
const chosen = new WeakMap<Run[], number>();

export class Gates implements Track {
  readonly elements: HTMLElement[] = [];
  #shown: { gate: Gate; picture: HTMLCanvasElement; value: HTMLElement; row: HTMLElement }[];

  #layered: boolean;
  #sequence = 0;

  constructor(
    private scene: Scene,
    layer: string,
  ) {
    const { run } = scene;
    this.#layered = new Set(run.gates.map(g => layerOf(g.name))).size > 1;
    const one = run.gates[0],
      units = one.units < one.allUnits ? `${one.units} of ${one.allUnits} units` : "a row a unit";
    const pooled = one.pool > 1 ? `, a column the mean of ${one.pool} steps` : "";
    const { head, legend } = heading(
      "Gates and states",
      run.batch > 1
        ? `${units}, of one sequence${pooled}; the number is the mean over all ${run.batch.toLocaleString("en")}`
        : `${units}${pooled}; the number is the mean over them`,
    );
    const { sequences } = run;
    this.#sequence = Math.max(0, sequences.indexOf(chosen.get(scene.runs) ?? sequences[0]));
    if (sequences.length > 1)
      legend.append(
        html("span", { class: "chip quiet" }, "Sequence"),
        choice(sequences.map(String), this.#sequence, "Sequence", k => {
          this.#sequence = k;
          chosen.set(scene.runs, sequences[k]);
          this.draw();
        }),
      );
    this.elements.push(head);
    this.#shown = run.gates.map(gate => {
      const height = Math.max(22, Math.min(46, gate.units * 3)),
        { row: box, name, plot, value } = row("gate", height);
      const picture = canvas(`${gate.word} over time`);
      name.append(this.#layered ? gate.word.replace(layerOf(gate.name), "").trim() || within(gate.name) : gate.word);
      name.title = gate.word;
      plot.append(picture);
      this.elements.push(box);
      return { gate, picture, value, row: box };
    });
    this.choose(layer);
  }
  choose(layer: string): void {
    for (const { gate, row } of this.#shown) row.hidden = this.#layered && layerOf(gate.name) !== layer;
  }
  draw(): void {
    const { time } = this.scene;
    for (const { gate, picture, row } of this.#shown)
      if (!row.hidden)
        heat(
          picture,
          this.#bytes(gate),
          gate.values.rows,
          gate.values.columns,
          gate.pool,
          time,
          this.#ramp(gate),
          false,
        );
  }
  /** Those of the sequence that was chosen; of values that belong to none, the only ones. */
  #bytes({ values, others }: Gate): Uint8Array {
    const size = values.q.length;
    return this.#sequence && others ? others.q.subarray((this.#sequence - 1) * size, this.#sequence * size) : values.q;
  }
  #ramp(gate: Gate) {
    const positive = gate.values.lo >= 0 && !gate.state;
    return this.scene.colours.ramp(positive ? ["--paper", ofGate(gate)] : VALUES);
  }
  at(t: number): void {
    const c = column(this.scene.run, t);
    for (const { gate, value, row } of this.#shown)
      if (!row.hidden) write(value, Number.isNaN(gate.mean[c]) ? "—" : signed(gate.mean[c].toFixed(2)));
  }
  table() {
    const { run } = this.scene,
      mean = run.gates[0].mean;
    return [
      ["t", ...run.gates.map(g => `mean of ${g.name}`)],
      ...Array.from(mean, (_, c) => [c * run.pool, ...run.gates.map(g => g.mean[c])]),
    ];
  }
}
