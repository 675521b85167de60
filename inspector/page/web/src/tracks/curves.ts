/** Curves over time: their paths, where they end, and places for their names. */
import { Norms, columns, isReversed, stepsBack, type Run } from "../data";
import type { Time } from "../time";

/** A path through the norms that are shown; where a pixel holds several, from the largest to the smallest of them. */
export function outline(norms: Norms, pool: number, time: Time, y: (log: number) => number): string {
  const first = Math.max(0, Math.floor(time.from / pool) - 1),
    last = Math.min(norms.length - 1, Math.ceil(time.to / pool));
  const many = Math.floor(1 / (time.step * pool));
  let d = "",
    pen = "M";
  for (let c = first; c <= last; c += Math.max(1, many)) {
    let high = -Infinity,
      low = Infinity;
    for (let k = c; k < Math.min(last + 1, c + Math.max(1, many)); k++) {
      const log = norms.log(k);
      if (log > high && log < Infinity) high = log;
      if (log < low && log > -Infinity) low = log;
    }
    if (high === -Infinity) {
      pen = "M";
      continue;
    }
    const x = time.x((c + Math.max(1, many) / 2) * pool - 0.5).toFixed(1);
    d += `${pen}${x},${y(high).toFixed(1)}`;
    pen = "L";
    if (many > 1 && low < high) d += `L${x},${y(low).toFixed(1)}`;
  }
  return d;
}
/** The area between two series of norms, as a path; where a pixel holds several steps, all of them lie in it. */
export function between(lower: Norms, upper: Norms, pool: number, time: Time, y: (log: number) => number): string {
  const first = Math.max(0, Math.floor(time.from / pool) - 1),
    last = Math.min(upper.length - 1, Math.ceil(time.to / pool)),
    many = Math.max(1, Math.floor(1 / (time.step * pool)));
  const there: string[] = [],
    back: string[] = [];
  for (let c = first; c <= last; c += many) {
    let high = -Infinity,
      low = Infinity;
    for (let k = c; k < Math.min(last + 1, c + many); k++) {
      if (upper.log(k) > high) high = upper.log(k);
      if (lower.log(k) < low) low = lower.log(k);
    }
    if (high === -Infinity) continue;
    const x = time.x((c + many / 2) * pool - 0.5).toFixed(1);
    there.push(`${x},${y(high).toFixed(1)}`);
    back.push(`${x},${y(low).toFixed(1)}`);
  }
  return there.length ? `M${[...there, ...back.reverse()].join("L")}Z` : "";
}
/** Where a curve is at a column, or at the first after it where there is something. */
export function endOf(norms: Norms, c: number): number {
  for (let k = c; k < norms.length; k++)
    if (Number.isFinite(norms.log(k))) return k === c || norms.log(c) !== -Infinity ? norms.log(k) : -Infinity;
  return -Infinity;
}
/** Places at least `gap` apart and as near as can be to the wished ones, which are in order. */
export function apart(wished: number[], gap: number, low: number, high: number): number[] {
  const found = wished.map(y => Math.max(low, Math.min(high, y)));
  const groups = found.map(y => ({ centre: y, count: 1 }));
  for (let k = 1; k < groups.length;) {
    const a = groups[k - 1],
      b = groups[k];
    if (b.centre - a.centre >= (gap * (a.count + b.count)) / 2) {
      k++;
      continue;
    }
    const count = a.count + b.count,
      half = (gap * (count - 1)) / 2;
    const centre = (a.centre * a.count + b.centre * b.count) / count;
    groups.splice(k - 1, 2, { count, centre: Math.max(low + half, Math.min(high - half, centre)) });
    k = Math.max(1, k - 1);
  }
  return groups.flatMap(g => Array.from({ length: g.count }, (_, i) => g.centre + (i - (g.count - 1) / 2) * gap));
}
/** Norms by steps back from where the sweep begins, as norms by step. */
export function reversed(norms: Norms, run: Run): Norms {
  const back = (t: number) => (isReversed(run) ? t : stepsBack(run, t));
  return new Norms(
    Float32Array.from({ length: columns(run) }, (_, c) => norms.log(Math.floor(back(c * run.pool) / run.pool))),
  );
}
