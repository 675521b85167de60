/** The page: one cursor in time, and every view listens to it. `mount` serves the HTML file and the notebook alike. */
import { find, write } from "./dom";
import { Cell } from "./cell";
import { Colours } from "./colours";
import { begin, column, end, isReversed, read, stepsBack, type Run } from "./data";
import { events } from "./events";
import { hands } from "./hands";
import { Head } from "./head";
import { listen } from "./keys";
import { Stage } from "./stage";
import { Play } from "./play";
import { Reach } from "./reach";
import { Side } from "./side";
import { Sliders, type Ask } from "./sliders";
import { takeAlong } from "./take";
import { fromLog, layerOf } from "./text";
import { Time } from "./time";
import { Axis } from "./tracks/axis";
import { Decay } from "./tracks/decay";
import { Gates } from "./tracks/gates";
import { Strip } from "./tracks/strip";
import { choice, type Scene, type Track } from "./tracks/track";
import { Ways } from "./tracks/ways";
import { Weights } from "./tracks/weights";
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
const TALL = { cell: 440, other: 640 }, QUIET = 250;
/** Steps that a lecture draws at most, and how large. */
const STAGED: [number, number] = [3, 1.8];

export function mount(root: HTMLElement, text: string, { hears = root, ask, address = false, moved }: Options = {}) {
  const { runs, first, opens } = read(text), colours = new Colours(root), cell = new Cell(), bin = new AbortController();
  const still = matchMedia("(prefers-reduced-motion: reduce)"), night = matchMedia("(prefers-color-scheme: dark)");
  const timed = find(root, ".timed"), plots = find(root, ".plots"), cursor = find(root, ".cursor"), drawing = find(root, ".drawing");
  const range = find<HTMLInputElement>(root, "#t"), live = find(root, "[aria-live]");
  let run = runs.find(r => r.key === first) ?? runs[0], time = new Time(run.T), level = 0, swept = false, sparks = false, layer = "";
  let tracks: Track[] = [], strip: Strip | null = null, decay: Decay | null = null, left = 0, right = 0, wide = 0;
  const times: number[] = [];

  find(drawing, ".canvas").append(cell.element);
  const say = (words: string) => write(live, words);
  const head = new Head(root, runs, k => select(k)), side = new Side(root), reach = new Reach(root, colours, t => rest(t));
  const sliders = new Sliders(root, ask ?? null, (slider, norms, pale) => decay?.suppose(slider, norms, pale), words => head.suppose(words));
  const play = new Play(find(root, "#play"), find(root, "#speed"), still, {
    t: () => time.t, T: () => run.T, begin: () => begin(run), end: () => end(run), step: (t, lit) => move(t, true, lit), rest: () => move(time.t) });
  const wiring = new Wiring(cell, t => rest(t), say);
  const stage = new Stage(root, cell, { move: (t, lit) => move(t, true, lit), resize: () => { decay?.shrink(stage.on); measure(); drawCell(); }, leave: () => rest(time.t) }, say);

  // -------------------------------------------------------------------------------------------------- building
  const scene = (): Scene => ({ run, runs, time, colours, still: still.matches });
  function build(): void {
    const here = scene(), state = run.verdict.state ?? run.states[0] ?? "";
    const layers = [...new Set([...run.gates.map(g => g.name), ...run.states].map(layerOf))];
    layer = layerOf(state) || layers[0] || "";
    strip = new Strip(here, (from, to) => { time.show(from, to); zoomed(); }, t => rest(t));
    decay = new Decay(here, layer);
    const gates = run.gates.length ? new Gates(here, layer) : null, ways = run.ways?.ways.length ? new Ways(here, layer, run.verdict.state) : null;
    const named: [string, Track | null][] = [["decay", decay], ["gates", gates], ["weights", run.weights ? new Weights(here) : null], ["ways", ways]];
    tracks = [strip, ...named.flatMap(([, track]) => track ?? []), new Axis(here)];
    for (const [name, track] of named) if (track)
      track.elements[0].append(takeAlong(() => `${run.label} ${name}`, () => track.elements.filter(e => !e.hidden), () => track.table!()));
    find(root, ".overview").replaceChildren(strip.above, ...strip.elements, strip.below);
    plots.replaceChildren(...tracks.slice(1).flatMap(track => track.elements));
    range.max = String(run.T - 1); range.disabled = run.T < 2;
    head.show(run, runs); side.show(run, runs, layer); reach.show(run); sliders.show(run);
    const box = find(root, ".layers");
    box.hidden = layers.length < 2;
    box.replaceChildren("Layer", choice(layers, layers.indexOf(layer), "Layer", k => {
      layer = layers[k]; decay!.choose(layer); gates?.choose(layer); ways?.choose(layer); side.values(layer); cell.focus(layer); redraw();
    }));
    decay.shrink(stage.on); measure(); drawCell();
  }
  function drawCell(): void {
    const shown = run.levels[level] ?? run.levels[0];
    drawing.hidden = !shown;
    find(root, "#lecture").hidden = !shown;
    find(root, "#level").hidden = run.levels.length < 2;
    find(root, "#level").setAttribute("aria-pressed", String(level > 0));
    const width = find(drawing, ".canvas").clientWidth;
    if (shown && width) { cell.t = time.t; cell.build(run, shown, width, tallest(), ...stage.on ? STAGED : []); cell.focus(layer); }
    cell.onselect();
    paint();
  }
  const tallest = () => stage.on ? stage.height : Math.min(level ? TALL.other : TALL.cell, Math.max(260, 0.62 * innerHeight));

  /** Sizes are read here and nowhere else: a frame only writes. */
  function measure(): void {
    const css = getComputedStyle(root);
    left = parseFloat(css.getPropertyValue("--left")); right = parseFloat(css.getPropertyValue("--right"));
    wide = timed.clientWidth; time.width = Math.max(1, wide - left - right);
    reach.resize(find(root, "#reach .square").clientWidth);
    redraw();
  }
  function redraw(): void { for (const track of tracks) track.draw(); paint(); }
  function zoomed(): void { redraw(); }

  // ------------------------------------------------------------------------------------------------ the cursor
  let frame = 0, quiet = 0;
  function move(to: number, sweeping = false, lit = false): void {
    time.t = time.clamp(to); swept = sweeping; sparks = lit && !still.matches;
    frame ||= requestAnimationFrame(() => { frame = 0; paint(); });
  }
  /** Moves it by hand: whatever plays, stops. */
  function rest(to: number): void { play.stop(false); move(to); }
  function paint(): void {
    const start = performance.now(), { t } = time, words = said(run, t);
    if (time.follow()) { for (const track of tracks) if (track !== strip) track.draw(); strip?.frame(); }
    const x = time.x(t), one = Math.max(1.5, Math.min(time.step, 40));
    cursor.style.transform = `translateX(${left + x}px)`; cursor.style.setProperty("--w", `${one}px`);
    const [veil, other] = isReversed(run) ? ["--veil-right", "--veil"] : ["--veil", "--veil-right"], half = time.step / 2;
    plots.style.setProperty(veil, swept ? `${Math.max(0, (isReversed(run) ? time.width - x : x) - half)}px` : "0px");
    plots.style.setProperty(other, "0px");
    if (!drawing.hidden) {
      if (cell.run === run) { cell.update(t, swept, sparks); strip?.lens(cell.start, cell.shown, left, right); }
    }
    for (const track of tracks) track.at?.(t);
    side.at(t); reach.at(t); side.chosen(cell.run === run ? cell.series() : null, t);
    range.value = String(t); range.setAttribute("aria-valuetext", words);
    write(find(root, ".where"), words);
    times.push(performance.now() - start);
    clearTimeout(quiet); quiet = window.setTimeout(settle, QUIET);
  }
  /** What can wait until the cursor rests. */
  function settle(): void {
    const { t } = time;
    if (!play.running && !stage.on && !wiring.inside && quietly) say(`Step ${t}: ${run.states.slice(0, 4).map(s => `gradient by ${s} ${fromLog(run.norms[s]?.log(column(run, t)) ?? NaN)}`).join(", ")}`);
    quietly = true;
    if (address) history.replaceState(null, "", `#${new URLSearchParams({ run: run.key, t: String(t), ...(level ? { level: run.levels[level].level } : {}), ...(stage.on ? { lecture: "" } : {}) })}`);
    moved?.(t, run.key);
  }
  let quietly = false;
  cell.onselect = () => { const found = cell.series(); decay?.pick(found?.norms ?? null); side.chosen(found, time.t); };
  cell.ondrag = by => rest(time.t + by);

  function select(k: number, t = time.t): void {
    play.stop(false); swept = false;
    const before = run;
    run = runs[(k + runs.length) % runs.length];
    level = Math.min(level, Math.max(0, run.levels.length - 1));
    if (run.T !== before.T) { time = new Time(run.T); t = begin(run); }
    time.t = time.clamp(t);
    build();
    if (stage.on) stage.begin();
  }
  function show(k: number): void { level = k % Math.max(1, run.levels.length); drawCell(); if (stage.on) stage.begin(); }
  function zoomTime(by: number, about = time.t): void { time.zoom(by, about); zoomed(); }
  function whole(): void { time.show(0, run.T); zoomed(); }
  function dark(): void {
    const is = root.dataset.theme ? root.dataset.theme === "dark" : night.matches;
    root.dataset.theme = is ? "light" : "dark";
    repaint();
  }
  function repaint(): void { colours.forget(); reach.draw(); redraw(); }

  // ----------------------------------------------------------------------------------------- hands on the page
  const stepAt = (x: number) => time.at(x - timed.getBoundingClientRect().left - left);
  hands(plots, {
    drag: (_dx, _dy, e) => { rest(stepAt(e.clientX)); return true; },
    zoom: (by, x) => zoomTime(by ** 1.4, stepAt(x)),
    tap: (target, e) => { if (!target.closest("button,summary")) rest(stepAt(e.clientX)); },
  });
  plots.addEventListener("pointermove", e => {
    const over = (e.target as Element).closest(".plot");
    if (e.pointerType === "mouse" && !e.buttons && over && !play.running && !e.shiftKey && !stage.on) move(stepAt(e.clientX));
  });
  const press = (id: string, does: () => void) => find(root, id).addEventListener("click", does);
  range.addEventListener("input", () => rest(Number(range.value)));
  press("#back", () => { play.stop(false); move(time.t - 1, true, true); }); press("#forth", () => rest(time.t + 1));
  press("#in", () => cell.zoom(1 / 1.4)); press("#out", () => cell.zoom(1.4)); press("#fit", () => cell.fit());
  press("#level", () => show(level + 1)); press("#theme", dark); press("#lecture", () => stage.toggle());
  find(drawing, ".tools").append(takeAlong(() => `${run.label} step ${time.t}`, () => [cell.element]));

  const jump = (by: number) => rest(events(run, time.t, by));
  const forget = listen(hears, {
    ArrowLeft: () => stage.on ? stage.go(1) : rest(time.t - 1), ArrowRight: () => stage.on ? stage.go(-1) : rest(time.t + 1),
    PageDown: () => stage.on && stage.go(1), PageUp: () => stage.on && stage.go(-1),
    "S-ArrowLeft": () => rest(time.t - 10), "S-ArrowRight": () => rest(time.t + 10), Home: () => rest(0), End: () => rest(run.T - 1),
    " ": () => stage.on ? stage.go(1) : play.toggle(), "+": () => zoomTime(1 / 1.5), "=": () => zoomTime(1 / 1.5), "-": () => zoomTime(1.5), "0": whole,
    "[": () => select(runs.indexOf(run) - 1), "]": () => select(runs.indexOf(run) + 1), ",": () => jump(-1), ".": () => jump(1),
    l: () => show(level + 1), d: dark, p: () => stage.toggle(), "?": () => find(root, "#keys").toggleAttribute("open"),
    Escape: () => { if (stage.on) return stage.toggle(); play.stop(); whole(); cell.reset(); if (cell.selected) cell.select(null); },
  }, target => target === range);
  night.addEventListener("change", repaint, { signal: bin.signal });
  if (address) addEventListener("hashchange", () => wished(), { signal: bin.signal });
  const watch = new ResizeObserver(() => { if (timed.clientWidth && timed.clientWidth !== wide) { measure(); drawCell(); } });

  /** What the address asks for. */
  function wished(): void {
    if (!address) return;
    const wish = new URLSearchParams(location.hash.slice(1)), k = runs.findIndex(r => r.key === wish.get("run")), t = Number(wish.get("t") ?? NaN);
    if (k >= 0 && runs[k] !== run) { run = runs[k]; time = new Time(run.T); time.t = begin(run); build(); }
    if (Number.isFinite(t)) move(t);
    const wanted = run.levels.findIndex(l => l.level === wish.get("level"));
    if (wanted > 0 && wanted !== level) show(wanted);
    if (wish.has("lecture") || wish.has("play")) { if (!stage.on) stage.toggle(); }
  }
  time.t = begin(run);
  build(); wished(); watch.observe(timed);
  if (opens === "lecture" && !stage.on && !location.hash) stage.toggle();
  root.classList.add("ready");

  return {
    move: rest, select: (key: string) => select(Math.max(0, runs.findIndex(r => r.key === key))), times,
    get t() { return time.t; }, get run() { return run.key; },
    destroy() { play.stop(false); clearTimeout(quiet); cancelAnimationFrame(frame); watch.disconnect(); forget(); bin.abort(); },
  };
}

function said(run: Run, t: number): string {
  const back = stepsBack(run, t);
  return `t = ${t.toLocaleString("en")}${back ? ` · ${back.toLocaleString("en")} step${back > 1 ? "s" : ""} before the last` : " · the last step"}`;
}
