/** One cursor and one scale for everything below the drawing. */
import { firstLook, type Run } from "./data";

export class Time {
  t = 0;
  /** The part of time that is shown, in steps. */
  from = 0;
  to = 1;
  /** How wide that is drawn, in pixels. */
  width = 1;
  constructor(public T: number) {
    this.reset(T);
  }

  reset(T: number): void {
    [this.T, this.from, this.to] = [T, 0, T];
    this.t = Math.min(this.t, T - 1);
  }
  get span() {
    return this.to - this.from;
  }
  get zoomed() {
    return this.span < this.T;
  }
  /** Pixels of one step. */
  get step() {
    return this.width / this.span;
  }
  /** Where the middle of a step is drawn. */
  x(s: number): number {
    return (s + 0.5 - this.from) * this.step;
  }
  at(pixel: number): number {
    return this.clamp(Math.floor(this.from + pixel / this.step));
  }
  clamp(t: number): number {
    return Math.max(0, Math.min(this.T - 1, Math.round(t) || 0));
  }

  show(from: number, to: number): void {
    const span = Math.max(Math.min(8, this.T), Math.min(this.T, to - from));
    this.from = Math.max(0, Math.min(this.T - span, from));
    this.to = this.from + span;
  }
  /** Zooms so that what is drawn at a step stays there. */
  zoom(by: number, about = this.t): void {
    const share = Math.min(1, Math.max(0, (about + 0.5 - this.from) / this.span));
    const span = Math.max(Math.min(8, this.T), Math.min(this.T, this.span * by));
    this.show(about + 0.5 - share * span, about + 0.5 - share * span + span);
  }
  /** Turns a page when the cursor leaves what is shown; true if it did. */
  follow(): boolean {
    if (this.t >= this.from && this.t < this.to) return false;
    const start = this.t < this.from ? this.t + 1 - 0.9 * this.span : this.t - 0.1 * this.span;
    this.show(start, start + this.span);
    return true;
  }
}

/** The time of a run, as it is shown at first. */
export function timeOf(run: Run): Time {
  const time = new Time(run.T),
    part = firstLook(run);
  if (part) time.show(...part);
  return time;
}

/** Steps at which an axis has its numbers: 1, 2 or 5 times a power of ten. */
export function ticks(from: number, to: number, most: number): number[] {
  const rough = (to - from) / Math.max(1, most),
    scale = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].find(k => k * scale >= rough)! * scale),
    found = [];
  for (let s = Math.ceil(from / step) * step; s < to; s += step) found.push(s);
  return found;
}
