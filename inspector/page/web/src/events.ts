/** Steps worth stopping at: where the gradient loses most or is cut, a gate closes, or something is marked. */
import { column, isReversed, markedAt, type Gate, type Run } from "./data";
import { layerOf, within } from "./text";

interface Stop {
  t: number;
  what: string;
}
/** How far the mean of a gate has to fall in one step to be said to close. */
const CLOSES = 0.15;

/** The next of them from a step, in one direction; the end of time if there is none. */
export function events(run: Run, t: number, by: number): number {
  const found = stopsOf(run),
    next = by > 0 ? found.find(s => s.t > t) : found.findLast(s => s.t < t);
  return next?.t ?? (by > 0 ? run.T - 1 : 0);
}
/** What is to be seen at a step: what it is marked as, and what happens there. */
export const seenAt = (run: Run, t: number) =>
  [...markedAt(run, t), stopsOf(run).find(s => s.t === t)?.what].filter(Boolean);

const known = new WeakMap<Run, Stop[]>();
function stopsOf(run: Run): Stop[] {
  let found = known.get(run);
  if (!found) known.set(run, (found = search(run)));
  return found;
}
function search(run: Run): Stop[] {
  const found = new Map<number, string>();
  for (const { steps } of run.marks) for (const t of steps) found.set(t, "");
  for (const t of run.cuts) found.set(t, "cut");
  for (const t of losses(run)) if (!found.has(t)) found.set(t, "much is lost");
  for (const gate of run.gates)
    for (const t of closings(run, gate)) if (!found.has(t)) found.set(t, `${within(gate.name)} closes`);
  return [...found].map(([t, what]) => ({ t, what })).sort((a, b) => a.t - b.t);
}
/** Steps at which more is lost than at most others, and than at those beside them. */
function losses(run: Run): number[] {
  const back = isReversed(run),
    log = (s: number) => run.whole.log(column(run, s));
  const falls: [number, number][] = [];
  for (let s = 0; s + run.pool < run.T; s += run.pool) {
    const fall = (log(s + run.pool) - log(s)) * (back ? -1 : 1);
    if (Number.isFinite(fall)) falls.push([back ? s + run.pool : s, fall]);
  }
  const count = Math.max(1, falls.length),
    mean = falls.reduce((sum, [, v]) => sum + v, 0) / count,
    spread = Math.sqrt(falls.reduce((sum, [, v]) => sum + (v - mean) ** 2, 0) / count);
  return falls
    .filter(
      ([, v], k) => v > mean + spread && v > (falls[k - 1]?.[1] ?? -Infinity) && v >= (falls[k + 1]?.[1] ?? -Infinity),
    )
    .map(([s]) => s);
}
/** Steps at which the mean of a gate between 0 and 1 has fallen far. */
function closings(run: Run, gate: Gate): number[] {
  if (gate.state || gate.values.lo !== 0 || gate.values.hi !== 1) return [];
  const { mean } = gate,
    far = run.backwards.some(state => layerOf(state) === layerOf(gate.name)) ? 1 : -1;
  return Array.from(mean.keys())
    .filter(c => mean[c + far] - mean[c] > CLOSES)
    .map(c => c * run.pool);
}
