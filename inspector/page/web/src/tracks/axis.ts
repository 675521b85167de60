/** The axis of time below all tracks, with the steps that are marked. */
import { html } from "../dom";
import { ticks } from "../time";
import { keyOf, Marks } from "./marks";
import type { Scene, Track } from "./track";

export class Axis implements Track {
  #axis = html("div", { class: "axis", "aria-hidden": "true" });
  #marks: Marks;
  readonly elements: HTMLElement[];
  constructor(private scene: Scene) {
    this.#marks = new Marks(scene);
    this.elements = [...this.#marks.elements, this.#axis];
    if (!scene.run.weights) this.elements.push(html("p", { class: "legend" }, ...keyOf(scene.run)));
  }
  draw(): void {
    const { time } = this.scene,
      most = Math.max(2, Math.min(9, Math.floor(time.width / 90)));
    const numbers = ticks(time.from, time.to, most).map(t => {
      const made = html("span", {}, `${t.toLocaleString("en")}`);
      made.style.transform = `translateX(${time.x(t)}px)`;
      return made;
    });
    this.#axis.replaceChildren(...numbers, html("b", {}, "t"));
    this.#marks.draw();
  }
}
