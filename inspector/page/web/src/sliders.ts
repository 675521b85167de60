/** What if? Curves that were computed beforehand; in a notebook Python computes those in between. */
import { find, html, write } from "./dom";
import { Norms, columns, end, type Run, type Slider } from "./data";
import { number, shortened } from "./text";
import { choice } from "./tracks/track";

/** What is asked of Python: the run that is shown with a knob at a setting. */
export interface Question {
  run: string;
  kind: string;
  name: string;
  setting: number;
}
/** What Python answers: norms of the whole state by step, or why there are none. */
export interface Answer {
  kept: number | null;
  norms?: Float64Array;
  error?: string;
}
export type Ask = (question: Question) => Promise<Answer>;
const REST = 80,
  FINE = 200,
  PATIENCE = 20_000;

interface Knob {
  slider: Slider;
  says: HTMLElement;
  /** A slider that snaps to the settings, or does not; or a button a setting. */
  control: HTMLElement;
  fine: boolean;
}

export class Sliders {
  #knobs: Knob[] = [];
  #newest = 0;
  #isBusy = false;
  #next: (() => void) | null = null;
  constructor(
    private root: HTMLElement,
    private ask: Ask | null,
    private drawn: (slider: Slider | null, norms: Norms | null, pale: boolean) => void,
    private said: (words: string) => void,
  ) {}

  show(run: Run): void {
    const box = find(this.root, "#whatif"),
      sliders = run.sliders.filter(slider => this.ask || slider.curves);
    box.hidden = !sliders.length;
    this.#newest++;
    this.#knobs = sliders.map(slider => this.#knob(slider, run));
    for (const knob of this.#knobs) this.#rest(knob, run);
    find(box, ".knobs").replaceChildren(
      ...this.#knobs.map(({ slider, says, control }) =>
        html(
          slider.labels ? "div" : "label",
          { class: "knob" },
          html("span", { title: slider.words }, shortened(slider.words, 34)),
          says,
          control,
          slider.note ? html("small", {}, slider.note) : "",
        ),
      ),
    );
    write(find(box, "h2 span"), `→ arrives at t = ${end(run).toLocaleString("en")}`);
    const several = this.#knobs.length > 1 ? " One at a time." : "";
    write(
      find(box, ".how"),
      this.ask
        ? `Computed on this very run as you turn; dashed in the plot.${several}`
        : `Computed beforehand on this very run, at these settings; dashed in the plot.${several}`,
    );
  }
  #knob(slider: Slider, run: Run): Knob {
    const { settings, labels, words, kind } = slider,
      last = settings.length - 1,
      fine = this.ask !== null && !labels,
      says = html("output");
    if (labels) return { slider, says, control: html("div"), fine };
    const step = kind === "length" ? 1 : (settings[last] - settings[0]) / FINE,
      range = fine ? { min: settings[0], max: settings[last], step } : { min: 0, max: last, step: 1 },
      input = html("input", { type: "range", ...range, "aria-label": words }),
      knob = { slider, says, control: input, fine };
    input.addEventListener("input", () => this.#turn(knob, run, fine ? Number(input.value) : settings[+input.value]));
    input.addEventListener("dblclick", () => {
      this.#rest(knob, run);
      this.#turn(knob, run, slider.now);
    });
    return knob;
  }
  #rest(knob: Knob, run: Run): void {
    const { slider, control, fine } = knob,
      k = slider.settings.indexOf(slider.now);
    if (control instanceof HTMLInputElement) control.value = String(fine ? slider.now : k);
    else
      control.replaceChildren(
        choice(slider.labels!, k, slider.words, pressed => this.#turn(knob, run, slider.settings[pressed])),
      );
    this.#tell(knob, nameOf(slider, slider.now), slider.kept?.[k] ?? run.verdict.kept);
  }
  #tell({ slider, control, says }: Knob, setting: string, kept: number | null | undefined): string {
    if (!slider.labels) control.setAttribute("aria-valuetext", setting);
    write(says, `${slider.labels ? "" : setting} → ${kept === undefined ? "…" : number(kept)}`);
    return kept === undefined ? "" : `${number(kept)} ${changed(slider, setting)}`;
  }
  #turn(knob: Knob, run: Run, value: number): void {
    const { slider } = knob,
      { curves, settings, now } = slider,
      id = ++this.#newest,
      k = nearest(slider, value),
      setting = nameOf(slider, value),
      isNow = value === now,
      isKnown = isNow || (curves !== undefined && Math.abs(settings[k] - value) < 1e-9);
    for (const other of this.#knobs) if (other !== knob) this.#rest(other, run);
    const told = this.#tell(
      knob,
      setting,
      isNow ? (slider.kept?.[k] ?? run.verdict.kept) : isKnown ? slider.kept?.[k] : undefined,
    );
    this.drawn(slider, isNow || !curves ? null : curves.row(k, columns(run)), !isKnown);
    this.said(isNow ? "" : told);
    if (isKnown) return;
    const { kind, name } = slider;
    window.setTimeout(() => {
      if (id === this.#newest) void this.#fetch(knob, { run: run.key, kind, name, setting: value }, setting, id);
    }, REST);
  }
  /** One question at a time: of those that are asked in the meantime the newest is sent after it, and no other. */
  async #fetch(knob: Knob, question: Question, setting: string, id: number): Promise<void> {
    if (this.#isBusy) {
      this.#next = () => void this.#fetch(knob, question, setting, id);
      return;
    }
    this.#isBusy = true;
    const late = new Promise<Answer>(done =>
      window.setTimeout(() => done({ kept: null, error: "Python does not answer." }), PATIENCE),
    );
    const answer = await Promise.race([this.ask!(question), late]);
    this.#isBusy = false;
    const next = this.#next;
    this.#next = null;
    if (id === this.#newest) this.#show(knob, answer, setting);
    else next?.();
  }
  #show(knob: Knob, { kept, norms, error }: Answer, setting: string): void {
    if (error || !norms) {
      write(knob.says, error ?? "no answer");
      return;
    }
    this.drawn(knob.slider, new Norms(Float32Array.from(norms, Math.log10)), false);
    this.said(this.#tell(knob, setting, kept));
  }
}
/** What was changed, in the words of the remedies. */
function changed({ kind, words }: Slider, setting: string): string {
  switch (kind) {
    case "bias":
      return `with ${setting.startsWith("−") ? "" : "+"}${setting} of ${words.replace(/^more /, "")}`;
    case "scale":
      return `with ${words.replace(/ times$/, "")} × ${setting}`;
    case "cut":
      return `with a ${words}`;
    case "length":
      return `in a run of ${setting} steps`;
    default:
      return `with ${words} ${setting}`;
  }
}
const nameOf = ({ labels, settings }: Slider, value: number) =>
  labels?.[settings.indexOf(value)] ??
  (Number.isInteger(value) ? value.toLocaleString("en").replace("-", "−") : number(value));
function nearest(slider: Slider, value: number): number {
  let found = 0;
  slider.settings.forEach((s, k) => {
    if (Math.abs(s - value) < Math.abs(slider.settings[found] - value)) found = k;
  });
  return found;
}
