/** The page: one cursor in time, and every view listens to it. `mount` serves the HTML file and the notebook alike. */
import { find, write } from "./dom";
import { Cell } from "./cell";
import { Colours } from "./colours";
import { control } from "./controls";
import { after, before, begin, end, layersOf, markedAt, read } from "./data";
import { Cursor } from "./cursor";
import { Head } from "./head";
import { readAddress, said, spoken, writeAddress } from "./place";
import { Play } from "./play";
import { Reach } from "./reach";
import { Side } from "./side";
import { Sliders, type Ask } from "./sliders";
import { Stage } from "./stage";
import { layerOf } from "./text";
import { timeOf } from "./time";
import { Views } from "./tracks/all";
import { Wiring } from "./wiring";

export interface Options {
  /** Where keys are heard: the document in a page, the widget in a notebook. */
  hears?: EventTarget;
  /** Python, where there is one that listens. */
  ask?: Ask;
  /** Whether the address is the page's own. */
  address?: boolean;
  moved?(t: number, run: string): void;
}
const TALL = { cell: 440, other: 640 },
  QUIET = 250,
  KEPT = 1000;
/** Steps that a lecture draws at most, and how large at most and at least. */
const STAGED: [number, number, number] = [3, 1.8, 1];

export function mount(root: HTMLElement, text: string, { hears = root, ask, address = false, moved }: Options = {}) {
  const { runs, first, opens } = read(text),
    colours = new Colours(root),
    cell = new Cell(),
    bin = new AbortController();
  const still = matchMedia("(prefers-reduced-motion: reduce)"),
    night = matchMedia("(prefers-color-scheme: dark)");
  const timed = find(root, ".timed"),
    plots = find(root, ".plots"),
    cursor = new Cursor(root),
    drawing = find(root, ".drawing");
  const range = find<HTMLInputElement>(root, "#t"),
    live = find(root, "[aria-live]");
  let run = runs.find(r => r.key === first) ?? runs[0],
    time = timeOf(run),
    level = 0,
    swept = false,
    sparks = false,
    layer = "";
  let views!: Views,
    left = 0,
    right = 0,
    wide = 0;
  const times: number[] = [];

  find(drawing, ".canvas").append(cell.element);
  const say = (words: string) => write(live, words);
  const head = new Head(root, runs, k => select(k)),
    side = new Side(root),
    reach = new Reach(root, colours, t => rest(t));
  const sliders = new Sliders(
    root,
    ask ?? null,
    (slider, norms, pale) => views.decay.suppose(slider, norms, pale),
    words => head.suppose(words),
  );
  const play = new Play(find(root, "#play"), find(root, "#speed"), still, {
    t: () => time.t,
    T: () => run.T,
    begin: () => begin(run),
    end: () => end(run),
    step: (t, lit) => move(t, true, lit),
    rest: () => move(time.t),
    goOn: () => goOn(),
  });
  const wiring = new Wiring(cell, t => rest(t), say);
  const stage = new Stage(
    root,
    cell,
    {
      move: (t, lit) => move(t, true, lit),
      resize: () => {
        views.decay.shrink(stage.on);
        measure();
        drawCell();
      },
      leave: () => rest(time.t),
    },
    say,
  );

  // -------------------------------------------------------------------------------------------------- building
  function build(): void {
    const layers = layersOf(run);
    time.follow();
    layer = layerOf(run.verdict.state ?? "") || layers[0] || "";
    views = new Views(
      { run, runs, time, colours, still: still.matches },
      layer,
      (from, to) => part(from, to),
      t => rest(t),
    );
    views.put(find(root, ".overview"), plots);
    range.max = String(run.T - 1);
    range.disabled = run.T < 2;
    head.show(run, runs);
    side.show(run, runs, layer);
    reach.show(run);
    sliders.show(run);
    head.layers(layers, layer, chosen => {
      layer = chosen;
      views.choose(layer);
      side.values(layer);
      cell.focus(layer);
      redraw();
    });
    views.decay.shrink(stage.on);
    measure();
    drawCell();
  }
  function drawCell(): void {
    const shown = run.levels[level] ?? run.levels[0];
    drawing.hidden = !shown;
    write(find(root, ".undrawn"), run.undrawn ?? "");
    find(root, "#lecture").hidden = !shown;
    find(root, "#level").hidden = run.levels.length < 2;
    find(root, "#level").setAttribute("aria-pressed", String(level > 0));
    const width = find(drawing, ".canvas").clientWidth;
    if (shown && width) {
      cell.t = time.t;
      cell.build(run, shown, width, tallest(), ...(stage.on ? STAGED : []));
      cell.focus(layer);
    }
    cell.onselect();
    paint();
  }
  const tallest = () =>
    stage.on ? stage.height : Math.min(level ? TALL.other : TALL.cell, Math.max(260, 0.62 * innerHeight));

  /** Sizes are read here and nowhere else: a frame only writes. */
  function measure(): void {
    const css = getComputedStyle(root);
    left = parseFloat(css.getPropertyValue("--left"));
    right = parseFloat(css.getPropertyValue("--right"));
    wide = timed.clientWidth;
    time.width = Math.max(1, wide - left - right);
    reach.resize(find(root, "#reach .square").clientWidth);
    redraw();
  }
  function redraw(): void {
    for (const track of views.tracks) track.draw();
    stale = false;
    paint();
  }
  /** The same with the next frame, however often it is asked for until then. */
  function later(): void {
    stale = true;
    move(time.t, swept, sparks);
  }
  /** Another part of time is shown. */
  function part(from: number, to: number): void {
    time.show(from, to);
    later();
  }

  // ------------------------------------------------------------------------------------------------ the cursor
  let stale = false,
    moving = false,
    frame = 0,
    quiet = 0;
  function move(to: number, sweeping = false, lit = false): void {
    moving ||= time.clamp(to) !== time.t;
    time.t = time.clamp(to);
    swept = sweeping;
    sparks = lit && !still.matches;
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      (stale ? redraw : paint)();
    });
  }
  /** Moves it by hand: whatever plays, stops; beyond either end into the run that was before, or comes after. */
  function rest(to: number): void {
    play.stop(false);
    const other = to < 0 ? before(run, runs) : to >= run.T ? after(run, runs) : undefined;
    if (other && !stage.on) select(runs.indexOf(other), to < 0 ? other.T + to : to - run.T);
    else move(to);
  }
  /** From the first step of a run the sweep goes on at the last one of the run in whose state it begins. */
  function goOn(): boolean {
    const other = before(run, runs);
    if (!other) return false;
    select(runs.indexOf(other), other.T - 1);
    play.start();
    return true;
  }
  function paint(): void {
    const start = performance.now(),
      { t } = time,
      words = said(run, t),
      marked = markedAt(run, t);
    if (moving && time.follow()) views.turn();
    moving = false;
    cursor.at(run, time, left, swept);
    if (!drawing.hidden && cell.run === run) {
      cell.update(t, swept, sparks);
      views.strip.lens(cell.start, cell.shown, left, right);
    }
    for (const track of views.tracks) track.at?.(t);
    side.at(t);
    reach.at(t);
    side.chosen(cell.run === run ? cell.series() : null, t);
    range.value = String(t);
    range.setAttribute("aria-valuetext", [words, ...marked].join(", "));
    write(find(root, ".where"), stage.on ? [run.short ?? run.label, words, ...marked].join(" · ") : words);
    if (times.push(performance.now() - start) > KEPT) times.shift();
    clearTimeout(quiet);
    quiet = window.setTimeout(settle, QUIET);
  }
  /** What can wait until the cursor rests. */
  function settle(): void {
    const { t } = time;
    const here = `${run.key} ${t}`;
    if (!play.running && !stage.on && !wiring.inside && here !== heard) say(spoken(run, t));
    heard = here;
    if (address) writeAddress(run, t, level, stage.on);
    moved?.(t, run.key);
    cell.tell();
  }
  let heard = "";
  cell.onselect = () => {
    const found = cell.series();
    views.decay.pick(found?.norms ?? null);
    side.chosen(found, time.t);
  };
  cell.ondrag = by => rest(time.t + by);

  /** Shows another run, at a step; if none is said at the same, or where the sweep begins in one of another length. */
  function select(k: number, at?: number): void {
    play.stop(false);
    swept = false;
    let t = at ?? time.t;
    const { T } = run;
    run = runs[(k + runs.length) % runs.length];
    level = Math.min(level, Math.max(0, run.levels.length - 1));
    if (run.T !== T) {
      time = timeOf(run);
      t = at ?? begin(run);
    }
    time.t = time.clamp(t);
    build();
    if (stage.on) stage.begin();
  }
  function show(k: number): void {
    level = k % Math.max(1, run.levels.length);
    drawCell();
    if (stage.on) stage.begin();
  }
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : night.matches);
  function dark(is = !isDark()): void {
    root.dataset.theme = is ? "dark" : "light";
    repaint();
  }
  function repaint(): void {
    colours.forget();
    reach.draw();
    redraw();
  }

  const forget = control(root, hears, {
    run: () => run,
    runs,
    time: () => time,
    stepAt: x => time.at(x - timed.getBoundingClientRect().left - left),
    rest,
    move,
    select,
    show: () => show(level + 1),
    zoom: (by, about) => {
      time.zoom(by, about);
      later();
    },
    pan: by => part(time.from + by, time.to + by),
    whole: () => part(0, run.T),
    dark: () => dark(),
    play,
    stage,
    cell,
  });
  night.addEventListener("change", repaint, { signal: bin.signal });
  if (address) addEventListener("hashchange", () => wished(), { signal: bin.signal });
  const watch = new ResizeObserver(() => {
    if (timed.clientWidth && timed.clientWidth !== wide) {
      measure();
      drawCell();
    }
  });

  /** What the address asks for. */
  function wished(): void {
    if (!address) return;
    const wish = readAddress(runs);
    if (wish.run && wish.run !== run) {
      run = wish.run;
      time = timeOf(run);
      time.t = begin(run);
      build();
    }
    if (wish.t !== null) move(wish.t);
    const wanted = run.levels.findIndex(l => l.level === wish.level);
    if (wanted > 0 && wanted !== level) show(wanted);
    if (wish.lecture && !stage.on) stage.toggle();
  }
  time.t = begin(run);
  build();
  wished();
  watch.observe(timed);
  if (opens === "lecture" && !stage.on && !location.hash) stage.toggle();
  heard = `${run.key} ${time.t}`;
  root.classList.add("ready");

  return {
    move: rest,
    select: (key: string) => select(runs.indexOf(runs.find(r => r.key === key) ?? runs[0])),
    /** In the colours of where it stands. */
    paint(inDark: boolean) {
      if (inDark !== isDark()) dark(inDark);
    },
    times,
    get t() {
      return time.t;
    },
    get run() {
      return run.key;
    },
    destroy() {
      play.stop(false);
      clearTimeout(quiet);
      cancelAnimationFrame(frame);
      watch.disconnect();
      forget();
      bin.abort();
    },
  };
}
