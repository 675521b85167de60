/** The finding in a sentence and three numbers; Python writes those of the run shown first, so that they need no script. */
import { find, html, write } from "./dom";
import { end, type Run } from "./data";
import { choice } from "./tracks/track";
import { counted, number } from "./text";

export class Head {
  #supposed = html("span", { class: "supposed" });
  constructor(
    private root: HTMLElement,
    runs: Run[],
    choose: (k: number) => void,
  ) {
    const nav = find(root, ".runs");
    nav.hidden = runs.length < 2;
    nav.replaceChildren(
      ...runs.map((run, k) => {
        const made = html("button", { type: "button", "aria-pressed": "false" }, html("span", {}, run.label));
        made.addEventListener("click", () => choose(k));
        return made;
      }),
    );
    find(root, ".number").append(this.#supposed);
  }
  show(run: Run, runs: Run[]): void {
    const { root } = this,
      v = run.verdict,
      half = halfLife(run);
    write(find(root, ".verdict"), sentence(run));
    find(root, ".verdict").dataset.kind = v.kind;
    write(
      find(root, ".kicker"),
      [
        `${run.cell}${run.note ? `, ${run.note}` : ""}`,
        counted(run.T, "step"),
        `batch of ${run.batch.toLocaleString("en")}`,
        run.loss === null ? "" : `loss ${number(run.loss)}`,
        run.init ? `initialisation: ${run.init}` : "",
        run.notFinite ?? "",
      ]
        .filter(Boolean)
        .join(" · "),
    );
    const numbers = [
      number(v.kept),
      half.number,
      v.steps90 === null ? "—" : `${v.steps90.toLocaleString("en")} of ${run.T.toLocaleString("en")}`,
    ];
    root.querySelectorAll(".number b").forEach((b, k) => write(b, numbers[k]));
    write(find(root, ".number:nth-child(1) > span"), `of the gradient arrives at t = ${end(run).toLocaleString("en")}`);
    write(find(root, ".number:nth-child(2) > span"), half.words);
    root.querySelectorAll(".runs button").forEach((b, k) => b.setAttribute("aria-pressed", String(runs[k] === run)));
    // On a phone the buttons are in one row, of which not all is seen.
    const nav = find(root, ".runs"),
      pressed = find(nav, "[aria-pressed=true]");
    nav.scrollLeft = pressed.offsetLeft - nav.offsetLeft - (nav.clientWidth - pressed.offsetWidth) / 2;
    this.suppose("");
  }
  /** The layers of a stack, of which one is looked at. */
  layers(names: string[], chosen: string, choose: (name: string) => void): void {
    const box = find(this.root, ".layers");
    box.hidden = names.length < 2;
    box.replaceChildren(
      "Layer",
      choice(names, names.indexOf(chosen), "Layer", k => choose(names[k])),
    );
    // On a phone they stand in one row, which scrolls.
    const pressed = box.querySelector<HTMLElement>("[aria-pressed=true]");
    box.scrollLeft = Math.max(0, (pressed?.offsetLeft ?? 0) - box.offsetLeft - 60);
  }
  /** What a slider says would arrive instead. */
  suppose(words: string): void {
    write(this.#supposed, words);
    this.#supposed.hidden = !words;
  }
}

/** The finding without its numbers, which stand below it. */
export function sentence(run: Run): string {
  const text = run.verdict.text.replace(/:.*/s, "").replace(/[.\s]+$/, "");
  return `${run.short ?? run.label}: ${text}.`;
}
export function halfLife(run: Run): { number: string; words: string } {
  const half = run.verdict.halfLife;
  if (half === null && run.verdict.kept === 0) return { number: "—", words: "steps until half is lost: none arrives" };
  if (half === null || Math.abs(half) > 20 * run.T)
    return { number: "no half-life", words: "it neither fades nor grows on the way" };
  return {
    number: number(Math.abs(half)),
    words: half < 0 ? "steps until it has doubled" : "steps until half is lost",
  };
}
