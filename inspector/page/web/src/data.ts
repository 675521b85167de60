/** The data contract (schema.json), read: base64 arrays become typed numbers, once. */
import { layerOf } from "./text";

export interface Packed {
  d: "f4" | "u1" | "l2" | "l4";
  s: number[];
  b: string;
  lo?: number;
  hi?: number;
}

/** Norms by their logarithm to base 10: minus infinity is exactly zero, NaN not there. */
export class Norms {
  constructor(
    private q: Uint16Array | Float32Array,
    private lo = 0,
    private span = 0,
  ) {}
  get length() {
    return this.q.length;
  }
  log(i: number): number {
    const q = this.q[i];
    if (q === undefined) return NaN;
    if (this.q instanceof Float32Array) return q;
    return q === 0 ? -Infinity : q === 65535 ? NaN : this.lo + ((q - 1) / 65533) * this.span;
  }
  at(i: number): number {
    return 10 ** this.log(i);
  }
  part(from: number, to: number): Norms {
    return new Norms(this.q.subarray(from, to), this.lo, this.span);
  }
  row(k: number, columns: number): Norms {
    return this.part(k * columns, (k + 1) * columns);
  }
}
/** Bytes that stand for a range: 0 is not there, 1 to 255 go from `lo` to `hi`. */
export interface Levels {
  q: Uint8Array;
  lo: number;
  hi: number;
  rows: number;
  columns: number;
}

export type Point = [number, number];
/** A name beside a line; the timestep follows it as a subscript. */
export interface Said {
  x: number;
  y: number;
  label: string;
  size: number;
}
export interface Shape {
  key: string;
  kind: string;
  x: number;
  y: number;
  w: number;
  h: number;
  label: string;
  timed?: boolean;
  role?: string;
  gate?: string;
  size: number;
  about: string;
  name?: string;
  said?: Said;
}
export interface Line {
  key: string;
  from: string;
  to: string;
  d: Point[][];
  arrow: boolean;
  order: number;
  cut?: boolean;
}
export interface Ends {
  shapes: Shape[];
  lines: { d: Point[][]; arrow: boolean; norm: number | null }[];
}
export interface Tile {
  period: number;
  top: number;
  bottom: number;
  frames: { box: number[]; label: string }[];
  bands: { box: number[]; name: string }[];
  states?: Said[];
  shapes: Shape[];
  lines: Line[];
  lineNorms: Norms;
  shapeNorms: Norms;
  shapeMeans: Float32Array;
}
/** What a gate has in the drawing: a pair of colours, and a dashed border once those are used up. */
export interface Look {
  name: string;
  hue: number;
  dashed: boolean;
}
export interface Level {
  level: string;
  gates: Look[];
  tiles: Tile[];
  tileOf?: Uint8Array;
  first: Ends;
  last: Ends;
}
export interface Gate {
  name: string;
  word: string;
  op: string;
  state: boolean;
  units: number;
  allUnits: number;
  pool: number;
  hue?: number;
  values: Levels;
  others?: Levels;
  mean: Float32Array;
}
export interface Slider {
  kind: string;
  name: string;
  words: string;
  settings: number[];
  labels?: string[];
  note?: string;
  now: number;
  /** What was computed beforehand; of a run of another length by steps back. */
  curves?: Norms;
  kept?: (number | null)[];
}
/** Steps that mean something, and what is there. */
export interface Mark {
  words: string;
  steps: number[];
}
export interface Verdict {
  kind: string;
  text: string;
  evidence: string[];
  remedies: string[];
  kept: number | null;
  halfLife: number | null;
  steps90: number | null;
  state: string | null;
}
export interface Run {
  key: string;
  label: string;
  short?: string;
  undrawn?: string;
  note: string;
  cell: string;
  init: string;
  T: number;
  batch: number;
  pool: number;
  dtype: string;
  loss: number | null;
  states: string[];
  backwards: string[];
  /** The step at which the reverse sweep begins. */
  begin?: number;
  fold: Record<string, number>;
  /** The key of the run in whose last state it begins. */
  after?: string;
  /** Five quantiles of the norm by each state, a row each, in all that the run is one of. */
  band?: { words: string; norms: Record<string, Norms> };
  curves: Record<string, [number, number]>;
  verdict: Verdict;
  notFinite?: string;
  whole: Norms;
  norms: Record<string, Norms>;
  marks: Mark[];
  cuts: number[];
  /** Places in the batch of the sequences whose gates are there. */
  sequences: number[];
  gates: Gate[];
  weights?: { names: string[]; layers?: string[]; norms: Norms; total: Float32Array };
  ways?: { states: string[]; ways: string[]; shares: Float32Array };
  reach?: { state: string; pool: number; steps: number[]; note: string; map: Levels; horizon: Float32Array };
  equations: { layer: string; text: string; keys: string[]; rail: boolean }[];
  levels: Level[];
  sliders: Slider[];
}
/** `opens` is what is shown at first, if not all: a lecture. */
export interface Document {
  title: string;
  first?: string;
  opens?: string;
  runs: Run[];
}

const VERSION = 1,
  LONG = 1000;
/** Decades that a plot of decay has at most. */
export const DECADES = 45;

function bytes(text: string): Uint8Array<ArrayBuffer> {
  const raw = atob(text),
    out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}
const floats = (p: Packed) => new Float32Array(bytes(p.b).buffer);
const levels = (p: Packed): Levels => ({ q: bytes(p.b), lo: p.lo ?? 0, hi: p.hi ?? 1, rows: p.s[0], columns: p.s[1] });
export function norms(p: Packed): Norms {
  return p.d === "l4" ? new Norms(floats(p)) : new Norms(new Uint16Array(bytes(p.b).buffer), p.lo, p.hi! - p.lo!);
}

/** The document; what it lacks is empty, and hides its view. Another version is refused with a sentence. */
export function read(text: string): Document {
  const raw = JSON.parse(text);
  if (raw.schema !== "inspector-page" || raw.version !== VERSION)
    throw new Error(
      `this page reads data of inspector-page, version ${VERSION}; these are ${raw.schema}, version ${raw.version}`,
    );
  return { title: raw.title ?? "", first: raw.first, opens: raw.opens, runs: raw.runs.map(run) };
}

function run(raw: any): Run {
  const missing = {
    note: "",
    init: "",
    pool: 1,
    batch: 1,
    dtype: "",
    loss: null,
    backwards: [],
    fold: {},
    curves: {},
    marks: [],
    cuts: [],
    sequences: [0],
    gates: [],
    equations: [],
    levels: [],
    sliders: [],
  };
  const found = { ...missing, ...raw, whole: norms(raw.whole), norms: mapped(raw.norms ?? {}, norms) };
  found.gates = found.gates.map((gate: any) => ({
    ...gate,
    values: levels(gate.values),
    others: gate.others && levels(gate.others),
    mean: floats(gate.mean),
  }));
  found.levels = found.levels.map(level);
  found.sliders = found.sliders.map((slider: any) => ({ ...slider, curves: slider.curves && norms(slider.curves) }));
  if (raw.weights)
    found.weights = { ...raw.weights, norms: norms(raw.weights.norms), total: floats(raw.weights.total) };
  if (raw.band) found.band = { ...raw.band, norms: mapped(raw.band.norms, norms) };
  if (raw.ways) found.ways = { ...raw.ways, shares: floats(raw.ways.shares) };
  if (raw.reach) {
    const map = levels(raw.reach.map);
    const steps = raw.reach.steps ?? Array.from({ length: map.rows }, (_, k) => k * (raw.reach.lossPool ?? 1));
    found.reach = { note: "", ...raw.reach, steps, map, horizon: floats(raw.reach.horizon) };
  }
  return found;
}

function level(raw: any): Level {
  const none = { shapes: [], lines: [] },
    tiles = raw.tiles.map((tile: any) => ({
      ...tile,
      lineNorms: norms(tile.lineNorms),
      shapeNorms: norms(tile.shapeNorms),
      shapeMeans: floats(tile.shapeMeans),
    }));
  return { first: none, last: none, gates: [], ...raw, tiles, tileOf: raw.tileOf && tileOf(raw.tileOf) };
}
/** Indices, of which packing as levels made bytes. */
function tileOf(p: Packed): Uint8Array {
  const shift = p.lo === undefined ? 0 : 1;
  return bytes(p.b).map(q => q - shift);
}
const mapped = <A, B>(of: Record<string, A>, f: (a: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(of).map(([name, value]) => [name, f(value)]));

/** What is marked at a step. */
export const markedAt = (run: Run, t: number) => run.marks.filter(m => m.steps.includes(t)).map(m => m.words);
/** The place of a step in what is kept of all steps. */
export const column = (run: Run, t: number) => Math.floor(t / run.pool);
export const columns = (run: Run) => Math.ceil(run.T / run.pool);
export const stepsBack = (run: Run, t: number) => run.T - 1 - t;
/** The run in whose last state a run begins, and the one that begins in its own. */
export const before = (run: Run, runs: Run[]) => runs.find(r => r.key === run.after);
export const after = (run: Run, runs: Run[]) => runs.find(r => r.after === run.key);
/** The layers of a stack; one without a name for a single cell. */
export const layersOf = (run: Run) => [...new Set([...run.gates.map(gate => gate.name), ...run.states].map(layerOf))];
/** Whether the run is read from its end: the sweep then goes from the first step to the last. */
export const isReversed = (run: Run) =>
  run.states.length > 0 && run.states.every(state => run.backwards.includes(state));
/** The step at which the sweep begins: the first on its way where there is any gradient. */
export const begin = (run: Run) => run.begin ?? (isReversed(run) ? 0 : run.T - 1);
export const end = (run: Run) => (isReversed(run) ? run.T - 1 : 0);
/** The part of a long run that is shown at first: where there is gradient to see, if that is a small part of it. */
export function firstLook(run: Run): [number, number] | null {
  const high = range([run.whole])?.[1];
  if (run.T < LONG || high === undefined) return null;
  const seen = Array.from({ length: columns(run) }, (_, c) => c).filter(c => run.whole.log(c) > high - DECADES);
  const [from, to] = [seen[0] * run.pool, (seen[seen.length - 1] + 1) * run.pool],
    aside = 0.15 * (to - from);
  return to - from < run.T / 4 ? [Math.max(0, from - aside), Math.min(run.T, to + aside)] : null;
}
/** Smallest and largest logarithm that is finite, of some norms; null where there is none. */
export function range(all: Norms[]): [number, number] | null {
  let low = Infinity,
    high = -Infinity;
  for (const norms of all)
    for (let i = 0; i < norms.length; i++) {
      const log = norms.log(i);
      if (log < low && log > -Infinity) low = log;
      if (log > high && log < Infinity) high = log;
    }
  return high >= low ? [low, high] : null;
}
