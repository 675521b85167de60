/** Numbers beside the drawing and the tracks: at this step, of all runs, of what is selected; equations, and why. */
import { find, html, write } from "./dom";
import { begin, column, type Norms, type Run } from "./data";
import { seenAt } from "./events";
import { fromLog, layerOf, number, shareOf, signed, shortened, within } from "./text";

type Selection = { name: string; about: string; keys: string[]; norms: Norms; means?: Float32Array } | null;

const SMALLEST = 11.5;

export class Side {
  #rows: { mean?: Float32Array; norms: Norms; cells: HTMLElement[] }[] = [];
  #others: { run: Run; cells: HTMLElement[] }[] = [];
  #equations: { item: HTMLElement; keys: string[]; layer: string }[] = [];
  #run!: Run;
  #begin = 0;
  constructor(private root: HTMLElement) {}

  show(run: Run, runs: Run[], layer: string): void {
    this.#run = run;
    this.#begin = begin(run);
    this.root.querySelectorAll("th:last-child").forEach(th => {
      if (th.closest("thead")) write(th, this.#begin === run.T - 1 ? "of the last" : `of t = ${this.#begin}`);
    });
    this.values(layer);
    this.#fellows(runs);
    this.#steps(layer);
    this.#why();
  }
  /** In a stack those of one layer, which the gates have chosen. */
  values(layer: string): void {
    const run = this.#run,
      names = Object.keys(run.norms),
      several = new Set(names.map(layerOf)).size > 1;
    const shown = several ? names.filter(name => layerOf(name) === layer || layerOf(name) === "") : names;
    this.#rows = shown.map(name => ({
      mean: run.gates.find(g => g.name === name)?.mean,
      norms: run.norms[name],
      cells: [0, 1, 2].map(() => html("td")),
    }));
    find(this.root, "#now tbody").replaceChildren(
      ...shown.map((name, k) =>
        html(
          "tr",
          {},
          html("th", { scope: "row", title: name }, shortened(layerOf(name) === layer ? within(name) : name, 14)),
          ...this.#rows[k].cells,
        ),
      ),
    );
    this.#equations.forEach(({ item, layer: own }) => (item.hidden = several && own !== layer && own !== ""));
  }
  #fellows(runs: Run[]): void {
    const fellows = runs.filter(r => r.T === this.#run.T);
    find(this.root, "#all").hidden = fellows.length < 2;
    this.#others = fellows.map(run => ({ run, cells: [html("td"), html("td")] }));
    find(this.root, "#all tbody").replaceChildren(
      ...this.#others.map(({ run, cells }) =>
        html(
          "tr",
          { class: run === this.#run ? "mine" : "" },
          html("th", { scope: "row", title: run.label }, shortened(run.label, 24)),
          ...cells,
        ),
      ),
    );
  }
  #steps(layer: string): void {
    const { equations } = this.#run,
      box = find(this.root, "#equations");
    box.hidden = !equations.length;
    const several = new Set(equations.map(e => e.layer)).size > 1;
    this.#equations = equations.map(e => ({
      item: html("li", { class: e.rail ? "rail" : "" }, e.text),
      keys: e.keys,
      layer: e.layer,
    }));
    this.#equations.forEach(({ item, layer: own }) => (item.hidden = several && own !== layer && own !== ""));
    find(box, "ol").replaceChildren(...this.#equations.map(e => e.item));
    this.shrink();
  }
  /** Equations as large as fits beside the drawing. */
  shrink(): void {
    const list = find(this.root, "#equations ol");
    list.style.fontSize = "";
    const size = parseFloat(getComputedStyle(list).fontSize),
      ratio = list.clientWidth / list.scrollWidth;
    if (ratio < 1) list.style.fontSize = `${Math.max(SMALLEST, Math.floor(10 * size * ratio) / 10)}px`;
  }
  #why(): void {
    const { evidence, remedies } = this.#run.verdict;
    find(this.root, "#why").hidden = !evidence.length && !remedies.length;
    find(this.root, "#why ul").replaceChildren(...evidence.map(text => html("li", {}, text)));
    find(this.root, "#remedies").hidden = !remedies.length;
    find(this.root, "#remedies ul").replaceChildren(...remedies.map(text => html("li", {}, text)));
  }
  at(t: number): void {
    const run = this.#run,
      c = column(run, t),
      first = column(run, this.#begin);
    write(find(this.root, "#now h2"), [`At t = ${t.toLocaleString("en")}`, ...seenAt(run, t)].join(" · "));
    for (const { mean, norms, cells } of this.#rows) {
      write(cells[0], mean && !Number.isNaN(mean[c]) ? signed(mean[c].toFixed(3)) : "");
      write(cells[1], fromLog(norms.log(c)));
      write(cells[2], ofFirst(norms, c, first));
    }
    for (const { run: other, cells } of this.#others) {
      const own = column(other, t);
      write(cells[0], fromLog(other.whole.log(own)));
      write(cells[1], ofFirst(other.whole, own, column(other, begin(other))));
    }
  }
  /** What was clicked: its numbers here, and its equation marked. */
  chosen(found: Selection, t: number): void {
    const box = find(this.root, "#chosen");
    box.hidden = !found;
    for (const { item, keys } of this.#equations)
      item.classList.toggle(
        "on",
        Boolean(found?.keys.some(key => keys.some(k => key === k || key.startsWith(`${k}.`)))),
      );
    if (!found) return;
    const c = column(this.#run, t),
      mean = found.means?.[c];
    write(find(box, "h2"), shortened(found.name, 60));
    write(
      find(box, "p"),
      `gradient norm ${fromLog(found.norms.log(c))} at t = ${t.toLocaleString("en")}${mean === undefined || Number.isNaN(mean) ? "" : `, mean value ${number(mean)}`}`,
    );
    write(
      find(box, "small"),
      [
        found.about === found.name ? "" : shortened(found.about, 120),
        Number.isNaN(found.norms.log(c)) ? "" : "in red in the decay plot",
      ]
        .filter(Boolean)
        .join(" · "),
    );
  }
}
/** A norm as a share of what it is where the sweep begins. */
function ofFirst(norms: Norms, c: number, first: number): string {
  const ratio = norms.log(c) - norms.log(first);
  if (norms.log(first) === -Infinity || Number.isNaN(ratio)) return "—";
  return shareOf(ratio);
}
