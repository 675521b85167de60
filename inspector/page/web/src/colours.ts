/** Colours stand in CSS variables, written by Python out of its theme; canvases need them as numbers. */
import { html } from "./dom";
import type { Gate, Run } from "./data";

export const GRADIENT = [0, 1, 2, 3, 4, 5, 6, 7].map(k => `--g${k}`);
export const VALUES = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(k => `--v${k}`);
export type Ramp = Uint32Array;

/** What a CSS variable is right now, in light or dark. */
export class Colours {
  #probe = html("span", { class: "probe", "aria-hidden": "true" });
  #cache = new Map<string, number[]>();
  constructor(root: HTMLElement) {
    root.append(this.#probe);
  }
  forget(): void {
    this.#cache.clear();
  }
  channels(variable: string): number[] {
    let found = this.#cache.get(variable);
    if (!found) {
      this.#probe.style.color = `var(${variable})`;
      found = (getComputedStyle(this.#probe).color.match(/[\d.]+/g) ?? ["0", "0", "0"]).slice(0, 3).map(Number);
      this.#cache.set(variable, found);
    }
    return found;
  }
  /** 256 colours through the given variables, as pixels; that of byte 0, which is not there, is transparent. */
  ramp(variables: string[]): Ramp {
    const stops = variables.map(v => this.channels(v)),
      pixels = new Uint8ClampedArray(256 * 4);
    for (let i = 1; i < 256; i++) {
      const at = ((i - 1) / 254) * (stops.length - 1),
        k = Math.min(stops.length - 2, Math.floor(at)),
        f = at - k;
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = stops[k][c] * (1 - f) + stops[k + 1][c] * f;
      pixels[4 * i + 3] = 255;
    }
    return new Uint32Array(pixels.buffer);
  }
}

/** The variable that has a state's colour: the same in every view. */
export const ofState = (run: Run, state: string) =>
  `--c${run.curves[state]?.[0] ?? Math.max(0, run.states.indexOf(state)) % 7}`;
/** Which of the curves of one colour it is: the later ones are dashed. */
export const dashOf = (run: Run, state: string) => ["none", "7 3", "2 3", "9 3 2 3"][(run.curves[state]?.[1] ?? 0) % 4];
/** That of a gate, as Python chose it among all gates of the cell. */
export const ofGate = (gate: Gate) => (gate.hue === undefined ? "--quiet" : `--hue${gate.hue}-stroke`);

/** The class of a norm on a logarithmic scale, of which the style knows colour and width. */
export function classOf(log: number, low: number, high: number): string {
  if (Number.isNaN(log)) return "unreached";
  if (log === -Infinity) return "none";
  if (log === Infinity) return "ill";
  return `g${high > low ? Math.min(7, Math.max(0, Math.floor(((log - low) / (high - low)) * 8))) : 7}`;
}
/** The byte of a logarithm between two others, for a ramp. */
export const level = (log: number, low: number, high: number) =>
  Number.isFinite(log)
    ? 1 + Math.round(254 * Math.min(1, Math.max(0, high > low ? (log - low) / (high - low) : 1)))
    : 0;
