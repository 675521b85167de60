/** A lecture: the reverse sweep in sentences, one a step, each made from the numbers of the run. */
import { begin, column, columns, end, isReversed, type Line, type Run, type Tile } from "./data";
import type { Cell } from "./cell";
import { sentence } from "./head";
import { fromLog, left, number, shortened, signed, within } from "./text";

/** What is said at a place: the step, the lines and the shape that it is about. */
export interface Beat {
  t: number;
  words: string;
  detail: string;
  lines: Set<number>;
  shape: number;
  sweep: boolean;
}
const DETAILED = 2,
  MOST = 40;

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
      swept = Array.from({ length: Math.abs(end(run) - last) + 1 }, (_, k) => last + k * by);
    this.at = 0;
    const silent = last !== (by < 0 ? run.T - 1 : 0) ? ` The loss does not depend on what comes after it.` : "";
    this.beats = [
      {
        t: last,
        words: `At step ${last} the gradient sets out.`,
        detail: `It is ${fromLog(norm(last))} by the whole state; from here it goes back in time.${silent}`,
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
      t: swept[swept.length - 1],
      words: sentence(run),
      detail: `${number(kept)} of the gradient arrives at t = ${swept[swept.length - 1]}.${half}`,
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
    for (const line of this.#path(tile, norm, run)) {
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
  /** The way through a step that carries most gradient into the step before, and of those the shortest. */
  #path(tile: Tile, norm: (line: Line) => number, run: Run): Line[] {
    const state = run.verdict.state ?? "",
      begin = tile.shapes.find(s => s.name === state) ?? tile.shapes.find(s => s.name && run.states.includes(s.name));
    let best: Line[] = [],
      most = -Infinity;
    const ways: Line[][] = begin ? tile.lines.filter(l => l.to === begin.key).map(l => [l]) : [],
      seen = new Set<string>();
    while (ways.length) {
      const way = ways.shift()!,
        { from } = way[way.length - 1],
        log = norm(way[way.length - 1]);
      if (/^[<>]/.test(from)) {
        if (log > most + 0.01) [best, most] = [way, log];
        continue;
      }
      if (seen.has(from)) continue;
      seen.add(from);
      for (const line of tile.lines) if (line.to === from) ways.push([...way, line]);
    }
    return best;
  }
  #operation(tile: Tile, shape: number, other: Line[], t: number, ratio: number): string {
    const { label, role, name } = tile.shapes[shape],
      { run } = this.cell,
      part = Number.isNaN(ratio) ? "" : `: ${left(ratio)} here`;
    if (label === "×") {
      const factor = other.map(line => this.#named(tile, line.from)).find(name => name !== null),
        gate = factor && run.gates.find(g => g.name === factor);
      return gate
        ? `Times ${within(gate.name)} = ${signed(gate.mean[column(run, t)].toFixed(2))}${part}.`
        : `Times ${factor ? within(factor) : "another value"}${part}.`;
    }
    if (label === "+")
      return Math.abs(ratio - 1) < 0.05
        ? "A sum hands the gradient on to both sides as it is."
        : `Through a sum${part}.`;
    if (label === "1 −") return `Through 1 minus it${part}.`;
    if (role === "layer")
      return `Through the weights, ${name ? `${within(name)} = ` : ""}${shortened(label, 20)}(…)${part}.`;
    if (role === "join") return "";
    if (/^(tanh|σ)$/.test(label))
      return `Through ${label}, whose slope is at most ${label === "σ" ? "a quarter" : "one"}${part}.`;
    return label ? `Through ${shortened(label, 30)}${part}.` : "";
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
      gate = this.#taker(t),
      n = columns(run),
      c = column(run, t);
    const lines = new Set(
      this.#path(tile, line => tile.lineNorms.log(tile.lines.indexOf(line) * n + c), run).map(line =>
        tile.lines.indexOf(line),
      ),
    );
    const ratio = 10 ** (here - after),
      one = Math.abs(before - t) < 2,
      name = one ? `Step ${t}` : `Steps ${before + Math.sign(t - before)} to ${t}`,
      by = gate && one ? `times ${within(gate.name)} = ${signed(gate.mean[c].toFixed(2))}, ` : "";
    const words =
      here === -Infinity
        ? `${name}: nothing arrives any more.`
        : Number.isFinite(ratio)
          ? `${name}: ${by}${left(ratio)}.`
          : `${name}: here it sets in.`;
    return {
      t,
      words,
      detail: `${fromLog(here)} is there, ${fromLog(here - norm(first))} of what set out at step ${first}.`,
      lines,
      shape: -1,
      sweep: true,
    };
  }
  /** The gate that multiplies the state on its way, if there is one. */
  #taker(t: number) {
    const { run } = this.cell,
      tile = this.cell.tile(t),
      state = run.verdict.state ?? "";
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
