/** What if? Sliders over curves that were computed beforehand; in a notebook Python computes those in between. */
import { find, html, write } from "./dom";
import { Norms, column, columns, stepsBack, type Run, type Slider } from "./data";
import { number, shortened } from "./text";

/** What Python answers to a setting: norms of the whole state by step, or why there are none. */
export interface Answer {
  kept: number | null;
  norms?: Float64Array;
  error?: string;
}
export type Ask = (slider: { kind: string; name: string }, setting: number) => Promise<Answer>;
const REST = 80,
  FINE = 200;

interface Knob {
  slider: Slider;
  input: HTMLInputElement;
  says: HTMLElement;
}

export class Sliders {
  #knobs: Knob[] = [];
  #newest = 0;
  constructor(
    private root: HTMLElement,
    private ask: Ask | null,
    private drawn: (slider: Slider | null, norms: Norms | null, pale: boolean) => void,
    private said: (words: string) => void,
  ) {}

  show(run: Run): void {
    const box = find(this.root, "#whatif");
    box.hidden = !run.sliders.length;
    this.#newest++;
    this.#knobs = run.sliders.map(slider => {
      const last = slider.settings.length - 1,
        live = this.ask !== null && !slider.labels,
        says = html("output");
      const input = html(
        "input",
        live
          ? {
              type: "range",
              min: slider.settings[0],
              max: slider.settings[last],
              step: (slider.settings[last] - slider.settings[0]) / FINE,
              "aria-label": slider.words,
            }
          : { type: "range", min: 0, max: last, step: 1, "aria-label": slider.words },
      );
      return { slider, input, says };
    });
    for (const knob of this.#knobs) {
      this.#rest(knob, run);
      knob.input.addEventListener("input", () => {
        for (const other of this.#knobs) if (other !== knob) this.#rest(other, run);
        this.#turn(knob, run);
      });
      knob.input.addEventListener("dblclick", () => {
        this.#rest(knob, run);
        this.drawn(null, null, false);
        this.said("");
      });
    }
    find(box, ".knobs").replaceChildren(
      ...this.#knobs.map(({ slider, input, says }) =>
        html("label", {}, html("span", { title: slider.words }, shortened(slider.words, 34)), says, input),
      ),
    );
    const several = this.#knobs.length > 1 ? " One at a time." : "";
    write(
      find(box, "small"),
      this.ask
        ? `Computed on this very run as you turn; dashed in the plot.${several}`
        : `Computed beforehand on this very run, at these settings; dashed in the plot.${several}`,
    );
  }
  #rest(knob: Knob, run: Run): void {
    const { slider, input } = knob,
      k = nearest(slider, slider.now);
    input.value = String(this.#isFine(slider) ? slider.now : k);
    this.#tell(knob, slider.labels?.[k] ?? number(slider.now), keptOf(run, slider, k));
  }
  #isFine(slider: Slider) {
    return this.ask !== null && !slider.labels;
  }
  #tell({ slider, input, says }: Knob, setting: string, kept: number | null): string {
    input.setAttribute("aria-valuetext", setting);
    write(says, `${setting} → ${number(kept)}`);
    return `${number(kept)} ${changed(slider, setting)}`;
  }
  #turn(knob: Knob, run: Run): void {
    const { slider, input } = knob,
      fine = this.#isFine(slider),
      value = Number(input.value),
      id = ++this.#newest;
    const k = fine ? nearest(slider, value) : value,
      n = columns(run),
      setting = slider.labels?.[k] ?? number(fine ? value : slider.settings[k]);
    const isHere = !fine || Math.abs(slider.settings[k] - value) < 1e-9,
      isNow = isHere && slider.settings[k] === slider.now;
    const told = this.#tell(knob, setting, keptOf(run, slider, k));
    this.drawn(slider, isNow ? null : slider.curves.row(k, n), !isHere);
    this.said(isNow || !isHere ? "" : told);
    if (isHere) return;
    write(knob.says, `${setting} → …`);
    window.setTimeout(() => {
      if (id === this.#newest) void this.#fetch(knob, value, setting, id);
    }, REST);
  }
  async #fetch(knob: Knob, value: number, setting: string, id: number): Promise<void> {
    const answer = await this.ask!(knob.slider, value);
    if (id !== this.#newest) return;
    if (answer.error || !answer.norms) {
      write(knob.says, answer.error ?? "no answer");
      return;
    }
    this.drawn(knob.slider, new Norms(Float32Array.from(answer.norms, Math.log10)), false);
    this.said(this.#tell(knob, setting, answer.kept));
  }
}
/** What was changed, in the words of the remedies. */
function changed({ kind, name, words }: Slider, setting: string): string {
  if (kind === "bias") return `with ${setting.startsWith("−") ? "" : "+"}${setting} of bias in ${name}`;
  return kind === "scale" ? `with ${name} × ${setting}` : `with ${words} ${setting}`;
}
function nearest(slider: Slider, value: number): number {
  let found = 0;
  slider.settings.forEach((s, k) => {
    if (Math.abs(s - value) < Math.abs(slider.settings[found] - value)) found = k;
  });
  return found;
}
/** What would arrive at t = 0, as Python said or, for want of that, as the curve has it. */
function keptOf(run: Run, slider: Slider, k: number): number | null {
  if (slider.kept?.[k] !== undefined) return slider.kept[k];
  const curve = slider.curves.row(k, columns(run));
  return slider.kind === "length"
    ? curve.at(column(run, stepsBack(run, 0))) / curve.at(0)
    : curve.at(0) / curve.at(curve.length - 1);
}
