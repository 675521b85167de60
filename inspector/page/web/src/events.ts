/** Steps worth stopping at: where the gradient loses most, or where it is cut. */
import { column, type Run } from "./data";

/** The next of them from a step, in one direction; the end of time if there is none. */
export function events(run: Run, t: number, by: number): number {
  const found = stopsOf(run),
    next = by > 0 ? found.find(s => s > t) : found.findLast(s => s < t);
  return next ?? (by > 0 ? run.T - 1 : 0);
}
function stopsOf(run: Run): number[] {
  const fall = (s: number) => run.whole.log(column(run, s + run.pool)) - run.whole.log(column(run, s));
  const falls: [number, number][] = [];
  for (let s = 0; s + run.pool < run.T; s += run.pool) if (Number.isFinite(fall(s))) falls.push([s, fall(s)]);
  const mean = falls.reduce((sum, [, v]) => sum + v, 0) / Math.max(1, falls.length);
  const spread = Math.sqrt(falls.reduce((sum, [, v]) => sum + (v - mean) ** 2, 0) / Math.max(1, falls.length));
  const peaks = falls
    .filter(
      ([, v], k) => v > mean + spread && v > (falls[k - 1]?.[1] ?? -Infinity) && v >= (falls[k + 1]?.[1] ?? -Infinity),
    )
    .map(([s]) => s);
  return [...new Set([...peaks, ...run.marks.flatMap(m => m.steps), ...run.cuts])].sort((a, b) => a - b);
}
