/** Where one is, in words and in the address. */
import { column, stepsBack, type Run } from "./data";
import { seenAt } from "./events";
import { counted, fromLog } from "./text";

const SPOKEN = 4;

export function said(run: Run, t: number): string {
  const back = stepsBack(run, t);
  return `t = ${t.toLocaleString("en")} · ${back ? `${counted(back, "step")} before the last` : "the last step"}`;
}

/** What a screen reader hears of a step. */
export function spoken(run: Run, t: number): string {
  const norm = (state: string) => fromLog(run.norms[state]?.log(column(run, t)) ?? NaN);
  return `Step ${[t, ...seenAt(run, t)].join(", ")}: ${run.states
    .slice(0, SPOKEN)
    .map(state => `gradient by ${state} ${norm(state)}`)
    .join(", ")}`;
}

export function writeAddress(run: Run, t: number, level: number, lecture: boolean): void {
  const parts = new URLSearchParams({ run: run.key, t: String(t) });
  if (level) parts.set("level", run.levels[level].level);
  if (lecture) parts.set("lecture", "");
  history.replaceState(null, "", `#${parts}`);
}

export function readAddress(runs: Run[]): { run?: Run; t: number | null; level: string | null; lecture: boolean } {
  const parts = new URLSearchParams(location.hash.slice(1));
  const t = Number(parts.get("t") ?? NaN);
  return {
    run: runs.find(run => run.key === parts.get("run")),
    t: Number.isFinite(t) ? t : null,
    level: parts.get("level"),
    lecture: parts.has("lecture") || parts.has("play"),
  };
}
