/** Hands on the page: what pointers, buttons and keys do. */
import { find } from "./dom";
import type { Cell } from "./cell";
import type { Run } from "./data";
import { events } from "./events";
import { hands } from "./hands";
import { listen } from "./keys";
import type { Play } from "./play";
import type { Stage } from "./stage";
import { takeAlong } from "./take";
import type { Time } from "./time";

export interface Controlled {
  run(): Run;
  runs: Run[];
  time(): Time;
  /** The step at a place on the screen. */
  stepAt(x: number): number;
  /** Moves the cursor by hand, which stops what plays; or as a part of a sweep. */
  rest(t: number): void;
  move(t: number, sweeping?: boolean, lit?: boolean): void;
  select(k: number): void;
  show(): void;
  dark(): void;
  zoom(by: number, about?: number): void;
  /** Shows another part of time, so many steps on. */
  pan(by: number): void;
  whole(): void;
  play: Play;
  stage: Stage;
  cell: Cell;
}
const CLOSER = 1 / 1.5,
  NEARER = 1 / 1.4;

/** Returns what takes the keys back again. */
export function control(root: HTMLElement, hears: EventTarget, page: Controlled): () => void {
  const plots = find(root, ".plots"),
    range = find<HTMLInputElement>(root, "#t"),
    { play, stage, cell } = page;
  hands(plots, {
    drag: (_dx, _dy, e) => {
      page.rest(page.stepAt(e.clientX));
      return true;
    },
    zoom: (by, x) => page.zoom(by ** 1.4, page.stepAt(x)),
    pan: dx => page.pan(-dx / page.time().step),
    tap: (target, e) => {
      if (!target.closest("button,summary")) page.rest(page.stepAt(e.clientX));
    },
  });
  plots.addEventListener("pointermove", e => {
    const over = (e.target as Element).closest(".plot");
    if (e.pointerType === "mouse" && !e.buttons && over && !play.running && !e.shiftKey && !stage.on)
      page.move(page.stepAt(e.clientX));
  });
  range.addEventListener("input", () => page.rest(Number(range.value)));
  const t = () => page.time().t,
    by = (steps: number) => page.rest(t() + steps);
  const buttons: Record<string, () => void> = {
    back: () => {
      if (t() === 0) return by(-1);
      play.stop(false);
      page.move(t() - 1, true, true);
    },
    forth: () => by(1),
    in: () => cell.zoom(NEARER),
    out: () => cell.zoom(1 / NEARER),
    fit: () => cell.fit(),
    level: page.show,
    theme: page.dark,
    lecture: () => stage.toggle(),
  };
  for (const [id, press] of Object.entries(buttons)) find(root, `#${id}`).addEventListener("click", press);
  find(root, ".drawing .tools").prepend(
    takeAlong(
      () => `${page.run().label} step ${t()}`,
      () => [cell.element],
    ),
  );

  const other = (by: number) => page.select(page.runs.indexOf(page.run()) + by),
    jump = (by: number) => page.rest(events(page.run(), t(), by));
  return listen(
    hears,
    {
      ArrowLeft: () => (stage.on ? stage.go(-1) : by(-1)),
      ArrowRight: () => (stage.on ? stage.go(1) : by(1)),
      "S-ArrowLeft": () => by(-10),
      "S-ArrowRight": () => by(10),
      Home: () => page.rest(0),
      End: () => page.rest(page.run().T - 1),
      PageUp: () => {
        if (stage.on) stage.go(-1);
      },
      PageDown: () => {
        if (stage.on) stage.go(1);
      },
      " ": () => (stage.on ? stage.go(1) : play.toggle()),
      "+": () => page.zoom(CLOSER),
      "=": () => page.zoom(CLOSER),
      "-": () => page.zoom(1 / CLOSER),
      "0": page.whole,
      "[": () => other(-1),
      "]": () => other(1),
      ",": () => jump(-1),
      ".": () => jump(1),
      l: page.show,
      d: page.dark,
      p: () => stage.toggle(),
      "?": () => find(root, "#keys").toggleAttribute("open"),
      Escape: () => {
        if (stage.on) return stage.toggle();
        play.stop();
        page.whole();
        cell.reset();
        if (cell.selected) cell.select(null);
      },
    },
    target => target === range,
  );
}
