/** The line through all tracks, and a veil over what a sweep has not come to yet. */
import { isReversed, type Run } from "./data";
import { find, html } from "./dom";
import type { Time } from "./time";

export class Cursor {
  #line: HTMLElement;
  #veil = html("div", { class: "unswept" });
  constructor(root: HTMLElement) {
    this.#line = find(root, ".cursor");
    this.#line.before(this.#veil);
  }
  /** At the step of `time`, whose axis begins at `left` pixels. */
  at(run: Run, time: Time, left: number, swept: boolean): void {
    const x = time.x(time.t),
      { style } = this.#line;
    style.visibility = time.t >= Math.floor(time.from) && time.t < time.to ? "" : "hidden";
    style.transform = `translateX(${left + x}px)`;
    style.setProperty("--w", `${Math.max(1.5, Math.min(time.step, 40))}px`);
    // It is scaled, which moves nothing else: no frame has to find places anew.
    const back = isReversed(run),
      ahead = swept ? Math.max(0, (back ? time.width - x : x) - time.step / 2) : 0;
    this.#veil.style.transformOrigin = back ? "100%" : "0";
    this.#veil.style.transform = `scaleX(${ahead / time.width})`;
  }
}
