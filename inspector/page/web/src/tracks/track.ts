/** What all tracks share: a name on the left, a plot on the scale of time, a number on the right. */
import { html, svg } from "../dom";
import type { Colours, Ramp } from "../colours";
import type { Run } from "../data";
import type { Time } from "../time";

/** What a track needs to know of the page. */
export interface Scene {
  run: Run;
  runs: Run[];
  time: Time;
  colours: Colours;
  still: boolean;
}
export interface Track {
  /** Title row and rows below it, in the order of the page. */
  elements: HTMLElement[];
  /** Drawn again when its size, the part of time that is shown or a colour has changed. */
  draw(): void;
  /** The cursor has moved. */
  at?(t: number): void;
  /** Its numbers, a row a timestep. */
  table?(): (string | number)[][];
}

export interface Row {
  row: HTMLElement;
  name: HTMLElement;
  plot: HTMLElement;
  value: HTMLElement;
}
export function row(kind: string, height: number): Row {
  const name = html("div", { class: "name" }),
    plot = html("div", { class: "plot" }),
    value = html("div", { class: "value" });
  plot.style.height = `${height}px`;
  return { row: html("div", { class: `track ${kind}` }, name, plot, value), name, plot, value };
}

/** A title, what to know when reading, and a place for the numbers at the cursor. */
export function heading(title: string, note: string): { head: HTMLElement; legend: HTMLElement } {
  const legend = html("div", { class: "legend" });
  return { head: html("div", { class: "head" }, html("h2", {}, title), html("small", {}, note), legend), legend };
}
/** A swatch with a name and a number that follows the cursor. */
export function chip(legend: HTMLElement, colour: string, name: string): HTMLElement {
  const swatch = html("i"),
    value = html("b");
  swatch.style.background = `var(${colour})`;
  legend.append(html("span", { class: "chip" }, swatch, html("span", {}, name), value));
  return value;
}
/** Buttons of which one is pressed. */
export function choice(
  names: string[],
  chosen: number,
  label: string,
  choose: (k: number) => void,
  words = (name: string) => name,
): HTMLElement {
  const buttons = names.map((name, k) => {
    const made = html("button", { type: "button", "aria-pressed": k === chosen, title: name }, words(name));
    made.setAttribute("aria-pressed", String(k === chosen));
    made.addEventListener("click", () => {
      buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(i === k)));
      choose(k);
    });
    return made;
  });
  return html("span", { class: "choice", role: "group", "aria-label": label }, ...buttons);
}

export const plotted = (label: string) => svg("svg", { role: "img", "aria-label": label, preserveAspectRatio: "none" });
export const canvas = (label: string) => html("canvas", { role: "img", "aria-label": label });

/**
 * Rows of bytes over time, a column a pixel: where several steps share a pixel, the largest or the mean of them is shown,
 * so that nothing is left out by chance.
 */
export function heat(
  onto: HTMLCanvasElement,
  q: Uint8Array,
  rows: number,
  columns: number,
  pool: number,
  time: Time,
  ramp: Ramp,
  largest: boolean,
): void {
  const width = Math.max(1, Math.round(time.width * Math.min(2, devicePixelRatio || 1)));
  onto.width = width;
  onto.height = rows;
  const context = onto.getContext("2d")!,
    image = context.createImageData(width, rows),
    pixels = new Uint32Array(image.data.buffer);
  const each = time.span / width;
  for (let x = 0; x < width; x++) {
    const first = Math.min(columns - 1, Math.floor((time.from + x * each) / pool));
    const last = Math.max(first, Math.min(columns - 1, Math.ceil((time.from + (x + 1) * each) / pool) - 1));
    const many = each > pool && last > first;
    for (let r = 0; r < rows; r++) {
      let v = q[r * columns + first];
      if (many) {
        let sum = 0,
          count = 0;
        for (let c = first; c <= last; c++) {
          const w = q[r * columns + c];
          if (w) {
            sum = largest ? Math.max(sum, w) : sum + w;
            count++;
          }
        }
        v = largest ? sum : count ? Math.round(sum / count) : 0;
      }
      pixels[r * width + x] = ramp[v];
    }
  }
  context.putImageData(image, 0, 0);
}
