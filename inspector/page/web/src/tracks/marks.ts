/** Steps that mean something: a row of signs on the scale of time, a sign for each kind of them. */
import { html, svg } from "../dom";
import type { Run } from "../data";
import { shortened } from "../text";
import type { Scene, Track } from "./track";

/** Triangles, then diamonds; each filled, then hollow. */
const SIGNS = ["M0,1L4,8H-4Z", "M0,0L4.5,4.5L0,9L-4.5,4.5Z"],
  LONGEST = 60;

function sign(k: number): SVGElement {
  const path = svg("path", { d: SIGNS[(k >> 1) % SIGNS.length] });
  return svg("svg", { class: k % 2 ? "sign hollow" : "sign", viewBox: "-5 0 10 9", "aria-hidden": "true" }, path);
}
/** What the signs stand for. */
export const keyOf = (run: Run): HTMLElement[] =>
  run.marks.map(({ words, steps }, k) => {
    const spoken = html("span", { class: "sr" }, `: ${steps.join(", ")}`);
    return html("span", { class: "chip quiet", title: words }, sign(k), shortened(words, LONGEST), spoken);
  });

export class Marks implements Track {
  readonly elements: HTMLElement[] = [];
  constructor(private scene: Scene) {
    if (scene.run.marks.length) this.elements = [html("div", { class: "marks", "aria-hidden": "true" })];
  }
  draw(): void {
    const { time, run } = this.scene;
    const signs = run.marks.flatMap(({ steps }, k) =>
      steps
        .filter(t => t >= time.from && t < time.to)
        .map(t => {
          const made = sign(k);
          made.style.transform = `translateX(${time.x(t)}px)`;
          return made;
        }),
    );
    this.elements[0]?.replaceChildren(...signs);
  }
}
