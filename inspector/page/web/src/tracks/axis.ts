/** The axis of time below all tracks, with the steps that were marked. */
import { html } from "../dom";
import { ticks } from "../time";
import type { Scene, Track } from "./track";

export class Axis implements Track {
  #axis = html("div", { class: "axis", "aria-hidden": "true" });
  readonly elements: HTMLElement[] = [this.#axis];
  constructor(private scene: Scene) {
    const { run } = scene;
    if (run.marks.length)
      this.elements.push(
        html(
          "p",
          { class: "marked" },
          html("i"),
          run.markWords || "marked steps",
          html("span", { class: "sr" }, `: ${run.marks.join(", ")}`),
        ),
      );
  }
  draw(): void {
    const { time, run } = this.scene,
      most = Math.max(2, Math.min(9, Math.floor(time.width / 90)));
    const numbers = ticks(time.from, time.to, most).map(t =>
      place(html("span", {}, `${t.toLocaleString("en")}`), time.x(t)),
    );
    const marks = run.marks.filter(t => t >= time.from && t < time.to).map(t => place(html("i"), time.x(t)));
    this.#axis.replaceChildren(...marks, ...numbers, html("b", {}, "t"));
  }
}
function place<E extends HTMLElement>(element: E, x: number): E {
  element.style.transform = `translateX(${x}px)`;
  return element;
}
