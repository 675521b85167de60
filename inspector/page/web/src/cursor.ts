/** The line through all tracks, and a veil over what a sweep has not come to yet. */
import { isReversed, type Run } from "./data";
import { find } from "./dom";
import type { Time } from "./time";

export class Cursor {
  #line: HTMLElement;
  #plots: HTMLElement;
  constructor(root: HTMLElement) {
    this.#line = find(root, ".cursor");
    this.#plots = find(root, ".plots");
  }
  /** At the step of `time`, whose axis begins at `left` pixels. */
  at(run: Run, time: Time, left: number, swept: boolean): void {
    const x = time.x(time.t),
      { style } = this.#line;
    style.visibility = time.t >= Math.floor(time.from) && time.t < time.to ? "" : "hidden";
    style.transform = `translateX(${left + x}px)`;
    style.setProperty("--w", `${Math.max(1.5, Math.min(time.step, 40))}px`);
    const back = isReversed(run),
      ahead = Math.max(0, (back ? time.width - x : x) - time.step / 2);
    this.#plots.style.setProperty(back ? "--veil-right" : "--veil", swept ? `${ahead}px` : "0px");
    this.#plots.style.setProperty(back ? "--veil" : "--veil-right", "0px");
  }
}
