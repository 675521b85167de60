/** A lecture: the reverse sweep in sentences, one a step, each made from the numbers of the run. */
import { begin, column, columns, end, isReversed, type Gate, type Line, type Tile } from "./data";
import type { Cell } from "./cell";
import { sentence } from "./head";
import { fromLog, left, number, shareOf, shortened, signed, within } from "./text";

/** What is said at a place: the step, the lines and the shape that it is about. */
export interface Beat {
  t: number;
  words: string;
  detail: string;
  lines: Set<number>;
  shape: number;
  sweep: boolean;
}
/** Steps that are told operation by operation, and sentences about all others. */
const DETAILED = 2,
  MOST = 18,
  /** How far what passes is from a gate's mean before that is said. */
  FAR = 0.1,
  /** Difference of two logarithms that are taken for one. */
  SAME = 0.01;

export class Lecture {
  beats: Beat[] = [];
  at = 0;
  constructor(private cell: Cell) {}
  get beat(): Beat {
    return this.beats[this.at];
  }

  begin(): void {
    const { run } = this.cell,
      norm = (t: number) => run.whole.log(column(run, t));
    const last = begin(run),
      by = isReversed(run) ? 1 : -1,
      all = Array.from({ length: Math.abs(end(run) - last) + 1 }, (_, k) => last + k * by),
      gone = all.findLastIndex(t => norm(t) !== -Infinity) + 1,
      swept = gone ? all.slice(0, gone + 1) : [];
    this.at = 0;
    const silent = last !== (by < 0 ? run.T - 1 : 0) ? ` The loss does not depend on what comes after it.` : "";
    this.beats = [
      {
        t: last,
        words: gone ? `At step ${last} the gradient sets out.` : "No gradient sets out.",
        detail: `‖∂L/∂state‖ is ${fromLog(norm(last))} ${gone ? `here. From now on it goes back in time.${silent}` : "at every step."}`,
        lines: new Set(),
        shape: -1,
        sweep: false,
      },
    ];
    for (const t of swept.slice(0, DETAILED)) this.beats.push(...this.#through(t));
    for (const [t, before] of stops(swept, DETAILED, MOST)) this.beats.push(this.#step(t, before, last));
    const { kept, halfLife } = run.verdict;
    const half =
      halfLife !== null && halfLife > 0 && halfLife < run.T ? ` Half is lost every ${number(halfLife)} steps.` : "";
    this.beats.push({
      t: end(run),
      words: sentence(run),
      detail: `${kept ? shareOf(Math.log10(kept)) : number(kept)} of the gradient arrives at t = ${end(run)}.${half}`,
      lines: new Set(),
      shape: -1,
      sweep: false,
    });
  }
  /** Where the gradient goes within one step, along the strongest way from its end to its beginning: a sentence an operation. */
  #through(t: number): Beat[] {
    const { run } = this.cell,
      tile = this.cell.tile(t),
      n = columns(run),
      c = column(run, t),
      beats: Beat[] = [];
    const norm = (line: Line) => tile.lineNorms.log(tile.lines.indexOf(line) * n + c);
    for (const line of this.#path(t)) {
      const shape = tile.shapes.findIndex(s => s.key === line.to);
      if (shape < 0) continue;
      const into = norm(line),
        out = Math.max(
          ...tile.lines
            .filter(l => l.from === line.to)
            .map(norm)
            .filter(Number.isFinite),
          outgoing(this.cell, t, line.to),
          -Infinity,
        );
      const other = tile.lines.filter(l => l.to === line.to && l !== line),
        words = this.#operation(tile, shape, other, t, Number.isFinite(out) ? 10 ** (into - out) : NaN);
      if (words)
        beats.push({
          t,
          words,
          detail: Number.isFinite(out)
            ? `${fromLog(out)} comes in, ${fromLog(into)} goes on. Step ${t}.`
            : `${fromLog(into)} goes on. Step ${t}.`,
          lines: new Set([tile.lines.indexOf(line)]),
          shape,
          sweep: false,
        });
    }
    return beats.length ? beats : [this.#step(t, t, t)];
  }
  /** The state that has most of the gradient at a step, of those that are drawn. */
  #state(t: number): string {
    const { run } = this.cell,
      shapes = this.cell.tile(t).shapes,
      log = (state: string) => run.norms[state]?.log(column(run, t)) ?? NaN;
    const drawn = run.states.filter(state => shapes.some(s => s.name === state) && !Number.isNaN(log(state)));
    return drawn.reduce((a, b) => (log(b) > log(a) ? b : a), drawn[0] ?? "");
  }
  /**
   * The way from there into the step before whose weakest line carries most, and of those the shortest: the last line
   * alone may have its gradient by other ways.
   */
  #path(t: number): Line[] {
    const { run } = this.cell,
      tile = this.cell.tile(t),
      at = column(run, t),
      norm = (line: Line) => tile.lineNorms.log(tile.lines.indexOf(line) * columns(run) + at),
      begin = tile.shapes.find(s => s.name === this.#state(t));
    let ways: { lines: Line[]; least: number }[] = begin ? [{ lines: [], least: Infinity }] : [];
    const seen = new Set<string>(),
      end = ({ lines }: { lines: Line[] }) => lines[lines.length - 1]?.from ?? begin!.key;
    while (ways.length) {
      const way = ways.reduce((a, b) => (b.least > a.least + SAME ? b : a)),
        from = end(way);
      if (/^[<>]/.test(from)) return way.lines;
      seen.add(from);
      const on = tile.lines.filter(l => l.to === from && norm(l) > -Infinity);
      ways.push(...on.map(line => ({ lines: [...way.lines, line], least: Math.min(way.least, norm(line)) })));
      ways = ways.filter(other => !seen.has(end(other)));
    }
    return [];
  }
  #operation(tile: Tile, shape: number, other: Line[], t: number, ratio: number): string {
    const { label, role, name } = tile.shapes[shape],
      { run } = this.cell,
      part = Number.isNaN(ratio) ? "" : `: ${left(ratio)} here`;
    const factor = other.map(line => this.#named(tile, line.from)).find(name => name !== null);
    if (label === "÷") return `Divided by ${factor ? within(factor) : "another value"}${part}.`;
    if (label === "×") {
      const gate = factor && run.gates.find(g => g.name === factor);
      return gate
        ? `Times ${this.#factor(gate, t, ratio)}${part}.`
        : `Times ${factor ? within(factor) : "another value"}${part}.`;
    }
    if (label === "+" || label === "−") {
      const name = label === "+" ? "sum" : "difference";
      return Math.abs(ratio - 1) < 0.05
        ? `A ${name} hands the gradient on to both sides as it is.`
        : `Through a ${name}${part}.`;
    }
    if (label === "where") return `A choice hands it on to what was chosen${part}.`;
    if (label === "1 −") return `Through 1 minus it${part}.`;
    if (role === "layer")
      return `Through the weights, ${name ? `${within(name)} = ` : ""}${shortened(label, 20)}(…)${part}.`;
    if (role === "join" || label === "concatenate") return "";
    if (/^(tanh|σ)$/.test(label))
      return `Through ${label}, whose slope is at most ${label === "σ" ? "a quarter" : "one"}${part}.`;
    return label ? `Through ${shortened(label, 30)}${part}.` : "";
  }
  /** The mean of a gate at some steps. */
  #mean(gate: Gate, steps: number[]): number {
    return steps.reduce((sum, t) => sum + gate.mean[column(this.cell.run, t)], 0) / steps.length;
  }
  /** A gate as a factor: its mean, and if that is another one, what it is where the gradient flows. */
  #factor(gate: Gate, t: number, ratio: number): string {
    const mean = this.#mean(gate, [t]),
      isOther = gate.values.lo >= 0 && ratio < 1.005 && Math.abs(ratio - mean) > FAR;
    return `${equals(gate, mean)}${isOther ? ` on average, ${ratio.toFixed(2)} where the gradient is` : ""}`;
  }
  /** What feeds an operand, if it has a name. */
  #named(tile: Tile, key: string, depth = 0): string | null {
    const shape = tile.shapes.find(s => s.key === key.replace(/^[<>]/, ""));
    if (!shape || depth > 3) return null;
    if (shape.name) return shape.name;
    const before = tile.lines.filter(l => l.to === shape.key);
    return before.length === 1 ? this.#named(tile, before[0].from, depth + 1) : null;
  }
  /** A whole step in one sentence: what it leaves, and of how much. */
  #step(t: number, before: number, first: number): Beat {
    const { run } = this.cell,
      norm = (s: number) => run.whole.log(column(run, s)),
      here = norm(t),
      after = norm(before);
    const tile = this.cell.tile(t),
      gate = this.#taker(t);
    const lines = new Set(this.#path(t).map(line => tile.lines.indexOf(line)));
    const ratio = 10 ** (here - after),
      count = Math.max(1, Math.abs(before - t)),
      name = count < 2 ? `Step ${t}` : `Steps ${before + Math.sign(t - before)} to ${t}`,
      steps = Array.from({ length: count }, (_, k) => t + k * Math.sign(before - t));
    const mean = gate ? this.#mean(gate, steps) : NaN,
      isMore = ratio ** (1 / count) > mean + 2 * FAR,
      how = count < 2 ? (isMore ? " on average, yet" : ",") : " at each,",
      by = gate && (count < 2 || !isMore) ? `times ${equals(gate, mean)}${how} ` : "";
    const words =
      here === -Infinity
        ? `${name}: nothing arrives any more.`
        : Number.isFinite(ratio)
          ? `${name}: ${by}${left(ratio)}.`
          : `${name}: here it sets in.`;
    return {
      t,
      words,
      detail: `${fromLog(here)} is there, ${shareOf(here - norm(first))} of what set out at step ${first}.`,
      lines,
      shape: -1,
      sweep: true,
    };
  }
  /** The gate that multiplies the state on its way, if there is one. */
  #taker(t: number) {
    const { run } = this.cell,
      tile = this.cell.tile(t),
      state = this.#state(t);
    for (const line of tile.lines) {
      const shape = tile.shapes.find(s => s.key === line.to);
      if (!/^[<>]/.test(line.from) || shape?.label !== "×" || !line.from.includes(within(state))) continue;
      const name = tile.lines
        .filter(l => l.to === line.to && l !== line)
        .map(l => this.#named(tile, l.from))
        .find(n => n !== null);
      const gate = run.gates.find(g => g.name === name && !g.state);
      if (gate) return gate;
    }
    return null;
  }
}
const equals = (gate: Gate, mean: number) => `${within(gate.name)} = ${signed(mean.toFixed(2))}`;
/** What comes into a shape from the step that the sweep was at before. */
function outgoing(cell: Cell, t: number, key: string): number {
  const { run } = cell,
    n = columns(run),
    before = t + (isReversed(run) ? -1 : 1);
  if (before < 0 || before >= run.T) return -Infinity;
  const tile = cell.tile(before),
    logs = tile.lines.map((l, k) =>
      /^[<>]/.test(l.from) && l.from.slice(1) === key ? tile.lineNorms.log(k * n + column(run, before)) : -Infinity,
    );
  return Math.max(-Infinity, ...logs.filter(v => !Number.isNaN(v)));
}
/** Steps of a sweep after its first few, each with the one told before it: all while they are few, then in even strides. */
function stops(swept: number[], from: number, most: number): [number, number][] {
  const rest = swept.slice(from),
    stride = Math.max(1, Math.ceil(rest.length / most));
  const told = rest.filter((_, k) => k % stride === 0 || k === rest.length - 1);
  return told.map((t, k) => [t, told[k - 1] ?? swept[Math.max(0, from - 1)]]);
}
