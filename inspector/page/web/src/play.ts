/** The reverse sweep: the cursor goes from the loss to the first step, and what lies ahead is veiled. */
import { html } from "./dom";

export class Play {
  #timer = 0;
  constructor(
    private button: HTMLButtonElement,
    private speed: HTMLSelectElement,
    private still: MediaQueryList,
    private page: {
      t(): number;
      T(): number;
      begin(): number;
      end(): number;
      step(t: number, sparks: boolean): void;
      rest(): void;
      /** Whether the sweep goes on in another run. */
      goOn(): boolean;
    },
  ) {
    button.addEventListener("click", () => this.toggle());
  }
  get running() {
    return this.#timer !== 0;
  }
  /** Milliseconds a step takes. */
  get every() {
    return Number(this.speed.value) * (this.still.matches ? 1.5 : 1);
  }
  toggle(): void {
    if (this.running) this.stop(false);
    else this.start();
  }
  start(): void {
    const { page } = this,
      last = page.T() - 1,
      end = page.end(),
      by = Math.max(1, Math.round(page.T() / 400)) * (end ? 1 : -1);
    if (page.t() === end) page.step(page.begin(), true);
    this.#say(true);
    const tick = () => {
      page.step(page.t(), this.every > 100);
      this.#timer = window.setTimeout(() => {
        if (page.t() === end) return page.goOn() ? undefined : this.stop();
        page.step(Math.max(0, Math.min(last, page.t() + by)), this.every > 100);
        tick();
      }, this.every);
    };
    tick();
  }
  /** Ends it; `whole` shows again what was veiled. */
  stop(whole = true): void {
    const was = this.running;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#say(false);
    if (was && whole) this.page.rest();
  }
  #say(on: boolean): void {
    if (this.button.getAttribute("aria-pressed") === String(on)) return;
    this.button.setAttribute("aria-pressed", String(on));
    this.button.replaceChildren(on ? "❚❚ Pause" : "▶ Play", ...(on ? [] : [html("span", {}, " the reverse sweep")]));
  }
}
