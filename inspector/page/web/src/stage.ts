/** The stage of a lecture: the drawing large, one sentence below it, arrows lead through. */
import { find, write } from "./dom";
import type { Cell } from "./cell";
import { Lecture } from "./lecture";

/** Letters of a sentence in the largest type: with more it would take the room of the decay below it. */
const LONG = 54;

interface Page {
  move(t: number, sparks: boolean): void;
  resize(): void;
  leave(): void;
}

export class Stage {
  on = false;
  #lecture: Lecture;
  constructor(
    private root: HTMLElement,
    private cell: Cell,
    private page: Page,
    private say: (words: string) => void,
  ) {
    this.#lecture = new Lecture(cell);
    find(root, "#next").addEventListener("click", () => this.go(1));
    find(root, "#previous").addEventListener("click", () => this.go(-1));
    find(root, "#leave").addEventListener("click", () => this.toggle());
  }
  get height() {
    return Math.max(200, innerHeight - 312);
  }
  toggle(): void {
    if (!this.on && !this.cell.run) return;
    this.on = !this.on;
    this.root.classList.toggle("lecture", this.on);
    find(this.root, "#lecture").setAttribute("aria-pressed", String(this.on));
    find(this.root, ".stage").hidden = !this.on;
    this.page.resize();
    if (this.on) {
      this.root.scrollIntoView();
      this.begin();
    } else {
      this.cell.point(-1, new Set(), -1);
      this.page.leave();
    }
    find(this.root, this.on ? "#next" : "#lecture").focus({ preventScroll: true });
  }
  begin(): void {
    if (this.cell.run) {
      this.#lecture.begin();
      this.#tell();
    }
  }
  go(by: number): void {
    this.#lecture.at = Math.max(0, Math.min(this.#lecture.beats.length - 1, this.#lecture.at + by));
    this.#tell();
  }
  #tell(): void {
    const { beat, at, beats } = this.#lecture,
      stage = find(this.root, ".stage");
    write(find(stage, ".words"), beat.words);
    find(stage, ".words").classList.toggle("long", beat.words.length > LONG);
    write(find(stage, ".detail"), beat.detail);
    write(find(stage, ".count"), `${at + 1} of ${beats.length}`);
    find<HTMLButtonElement>(stage, "#previous").disabled = at === 0;
    find<HTMLButtonElement>(stage, "#next").disabled = at === beats.length - 1;
    this.page.move(beat.t, beat.sweep);
    requestAnimationFrame(() => this.cell.point(beat.t, beat.lines, beat.shape));
    this.say(`${beat.words} ${beat.detail}`);
  }
}
