/** One timestep as elements; they are made once, and take the colours of whichever timestep they stand for. */
import { svg, write } from "./dom";
import { classOf } from "./colours";
import type { Ends, Line, Look, Point, Said, Shape, Tile } from "./data";
import { cut, fitName, widthOf } from "./measure";
import { fromLog, subscript } from "./text";

const CORNER = 7,
  LETTER = 7,
  FAR = 2e4,
  BESIDE = 220;

export interface Drawn {
  group: SVGGElement;
  lines: SVGGElement[];
  /** What holds the lines, the strongest on top, and how they lie there. */
  wires: SVGGElement;
  order: number[];
  shapes: SVGGElement[];
  texts: [SVGTextElement, string][];
  head: SVGTextElement;
}
/** The part of a tile that is drawn: all of it, or the lines that lead into it from a neighbour that is not drawn. */
export type Part = "all" | "<" | ">";

export function drawTile(tile: Tile, looks: Look[], part: Part, slot: number): Drawn {
  const group = svg("g", { class: part === "all" ? "tile" : "tile ghost" }),
    head = svg("text", { class: "step" }),
    texts: [SVGTextElement, string][] = [];
  const lines = tile.lines.map((line, k) =>
    part === "all" || line.from.startsWith(part) ? drawLine(line, k, slot, stem(tile, line)) : svg("g"),
  );
  const wires = svg("g", {}, ...lines),
    order = lines.map((_, k) => k);
  if (part !== "all") {
    group.append(wires);
    return { group, lines, wires, order, shapes: [], texts, head };
  }
  for (const {
    box: [x, y, width, height],
    label,
  } of tile.frames) {
    group.append(svg("rect", { class: "frame", x, y, width, height, rx: 12 }));
    if (label)
      group.append(svg("text", { class: "layer", x: x + 12, y: y + height - 9 }, fitName(label, width - 24, 11)));
  }
  const top = Math.min(...tile.frames.map(f => f.box[1])),
    first = tile.frames.find(f => f.box[1] === top);
  const [x, , wide] = first?.box ?? [0, 0, 0],
    isRight = crossed(tile, x + 8, x + 66, top + 6, top + 24);
  head.setAttribute("x", String(isRight ? x + wide - 14 : x + 14));
  head.setAttribute("y", String(top + 19));
  if (isRight) head.classList.add("right");
  for (const {
    box: [x, y, width, height],
    name,
  } of tile.bands)
    group.append(svg("rect", { class: "band", x, y, width, height }, svg("title", {}, name)));
  const shapes = tile.shapes.map((shape, k) => drawShape(shape, looks, k, slot, texts));
  const states = (tile.states ?? []).map(said => drawSaid(said, "state", texts));
  group.append(wires, ...states, ...shapes, head);
  return { group, lines, wires, order, shapes, texts, head };
}

/** Whether a line runs through a box, where a label would be hard to read. */
const crossed = (tile: Tile, left: number, right: number, top: number, bottom: number) =>
  tile.lines.some(line =>
    line.d.some(piece =>
      piece.some(([x, y], k) => {
        const [u, v] = piece[k - 1] ?? [x, y];
        return Math.max(x, u) > left && Math.min(x, u) < right && Math.max(y, v) > top && Math.min(y, v) < bottom;
      }),
    ),
  );

/** What stands left of the first timestep, or right of the last. */
export function drawEnds(ends: Ends, low: number, high: number): SVGGElement {
  const group = svg("g", { class: "outside" });
  // Beyond a state in which the run begins there is nothing, whatever the lines of this step come from in others.
  for (const { key, x, y, w } of ends.shapes)
    if (key.endsWith(".initial")) {
      group.append(svg("rect", { class: "blank", x: x < 0 ? x - FAR : x, y: y - 8, width: FAR, height: 16 }));
      const edge = x < 0 ? x - w / 2 - FAR : x + w / 2;
      group.append(svg("rect", { class: "blank", x: edge, y: y - BESIDE, width: FAR, height: BESIDE }));
    }
  for (const line of ends.lines) {
    const made = svg(
      "g",
      { class: `line ${classOf(line.norm === null ? NaN : Math.log10(line.norm), low, high)}` },
      svg("path", { class: "ink", d: through(line.d) }),
    );
    if (line.arrow) made.append(arrow(line.d));
    group.append(made);
  }
  for (const shape of ends.shapes) {
    if (shape.key.endsWith(".initial"))
      group.append(
        svg("rect", { class: "blank", x: shape.x - (shape.x < 0 ? 600 : 0), y: shape.y - 8, width: 600, height: 16 }),
      );
    group.append(drawShape(shape, [], -1, -1, []));
  }
  return group;
}

function drawLine(line: Line, k: number, slot: number, begin: string): SVGGElement {
  const d = through(line.d),
    group = svg("g", { "data-kind": "line", "data-index": k, "data-slot": slot });
  group.append(svg("path", { class: "hit", d }), svg("path", { class: "ink", d }));
  if (begin) group.append(svg("path", { class: "ink stem", d: begin }));
  if (line.arrow) group.append(arrow(line.d));
  group.append(svg("path", { class: "flow", d, pathLength: 100 }), svg("title"));
  group.style.setProperty("--o", String(line.order));
  return group;
}
/** A line that branches off what leads into the next step: where there is none, it begins at its shape. */
function stem(tile: Tile, line: Line): string {
  const from = tile.shapes.find(shape => shape.key === line.from),
    [x, y] = line.d[0][0];
  if (!from || Math.abs(y - from.y) > 1 || Math.abs(x - from.x) < from.w / 2 + 2) return "";
  return `M${from.x + (Math.sign(x - from.x) * from.w) / 2},${y}H${x}`;
}
function arrow(pieces: Point[][]): SVGPathElement {
  const last = pieces[pieces.length - 1],
    [a, b] = last.slice(-2);
  if (!b) return svg("path");
  const l = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1,
    u = (b[0] - a[0]) / l,
    v = (b[1] - a[1]) / l;
  return svg("path", {
    class: "head",
    d: `M${b}L${b[0] - 7 * u - 3 * v},${b[1] - 7 * v + 3 * u}L${b[0] - 7 * u + 3 * v},${b[1] - 7 * v - 3 * u}Z`,
  });
}

function drawShape(
  shape: Shape,
  looks: Look[],
  k: number,
  slot: number,
  texts: [SVGTextElement, string][],
): SVGGElement {
  const { x, y, w, h } = shape,
    look = looks.find(l => l.name === shape.gate),
    paint = look ? `hue${look.hue}` : (shape.role ?? "shared");
  const group = svg("g", k < 0 ? { class: "shape" } : { "data-kind": "shape", "data-index": k, "data-slot": slot });
  group.style.setProperty("--fill", `var(--${paint}-fill)`);
  group.style.setProperty("--edge", `var(--${paint}-stroke)`);
  if (look?.dashed) group.dataset.dashed = " dashed";
  if (shape.kind === "box")
    group.append(svg("rect", { class: "body", x: x - w / 2, y: y - h / 2, width: w, height: h, rx: 5 }));
  else if (shape.kind !== "text") group.append(svg("ellipse", { class: "body", cx: x, cy: y, rx: w / 2, ry: h / 2 }));
  const [label, size] = fitted(
    shape.label,
    shape.size,
    shape.kind === "text" ? Infinity : w - (shape.kind === "box" ? 6 : 5),
    Boolean(shape.timed),
  );
  const text = svg("text", { x, y: y + size * 0.35, "font-size": size }, label);
  if (shape.timed) texts.push([text, label]);
  group.append(text);
  if (shape.said) group.append(drawSaid(shape.said, "gate", texts));
  group.append(svg("title"));
  return group;
}
/** A name beside a line: of a gate, or of a state on its way to the next step. */
function drawSaid({ x, y, label, size }: Said, css: string, texts: [SVGTextElement, string][]): SVGTextElement {
  const text = svg("text", { class: css, x, y: y + size * 0.35, "font-size": size }, label);
  texts.push([text, label]);
  return text;
}
/** A label in the size in which it fits, shortened where it would be too small to read. */
function fitted(label: string, size: number, room: number, timed: boolean): [string, number] {
  const wide = (text: string, at: number) => widthOf(timed ? `${text}₀₀₀` : text, at);
  if (room === Infinity || wide(label, size) <= room) return [label, size];
  const small = Math.max(LETTER, (size * room) / wide(label, size));
  return [wide(label, small) <= room ? label : cut(label, text => wide(text, small) <= room), small];
}

/** Lines into neighbours that are not drawn fade where their frames begin, under veils. */
export function fading(tiles: Tile[]): { defs: SVGElement; "<": SVGElement; ">": SVGElement } {
  const right = Math.max(...tiles.flatMap(t => t.frames.map(({ box: [x, , w] }) => x + w)));
  const gradient = (id: string, x1: number, x2: number) =>
    svg(
      "linearGradient",
      { id, gradientUnits: "userSpaceOnUse", x1, x2, y1: 0, y2: 0 },
      svg("stop", { offset: 0, class: "clear" }),
      svg("stop", { offset: 1, class: "full" }),
    );
  const veil = (id: string, x: number) =>
    svg("rect", { class: "veil", fill: `url(#${id})`, x, width: FAR, y: -FAR / 2, height: FAR });
  return {
    defs: svg("defs", {}, gradient("fade-after", -30, 24), gradient("fade-before", right + 30, right - 24)),
    "<": veil("fade-after", -30),
    ">": veil("fade-before", right + 30 - FAR),
  };
}

/** A path through corner points, with the corners rounded. */
export function through(pieces: Point[][]): string {
  return pieces
    .map(p => {
      let d = `M${p[0]}`;
      for (let i = 1; i < p.length - 1; i++) {
        const [a, b, c] = [p[i - 1], p[i], p[i + 1]],
          room = Math.min(CORNER, far(a, b) / 2, far(c, b) / 2);
        d += `L${toward(b, a, room)}Q${b} ${toward(b, c, room)}`;
      }
      return p.length > 1 ? `${d}L${p[p.length - 1]}` : d;
    })
    .join("");
}
const far = (a: Point, b: Point) => Math.hypot(b[0] - a[0], b[1] - a[1]);
function toward(from: Point, to: Point, by: number): string {
  const l = far(from, to) || 1;
  return `${(from[0] + ((to[0] - from[0]) * by) / l).toFixed(1)},${(from[1] + ((to[1] - from[1]) * by) / l).toFixed(1)}`;
}

/** The place of a step in the numbers of a tile, and the ends of its scale of colours. */
export interface At {
  step: number;
  column: number;
  columns: number;
  low: number;
  high: number;
}
/** All that is seen to depend on the timestep: colours and subscripts. */
export function dress(drawn: Drawn, tile: Tile, { step, column, columns, low, high }: At): void {
  drawn.head.textContent = `t = ${step.toLocaleString("en")}`;
  for (const [text, label] of drawn.texts) text.textContent = label + subscript(step);
  const classes = tile.lines.map((_, k) => classOf(tile.lineNorms.log(k * columns + column), low, high));
  drawn.lines.forEach((group, k) => {
    if (group.lastChild) mark(group, `line ${tile.lines[k].cut ? "cut" : classes[k]}`);
  });
  stack(drawn, classes.map(grade));
  drawn.shapes.forEach((group, k) => {
    const log = tile.shapeNorms.log(k * columns + column);
    mark(group, `shape${Number.isNaN(log) ? "" : ` on-${classOf(log, low, high)}`}${group.dataset.dashed ?? ""}`);
  });
}
/** What a pointer is told of lines and shapes, and who cannot see them; it can wait until the cursor rests. */
export function tell(drawn: Drawn, tile: Tile, { column, columns }: At): void {
  drawn.lines.forEach((group, k) => {
    const line = tile.lines[k],
      norm = fromLog(tile.lineNorms.log(k * columns + column));
    if (group.lastChild)
      write(group.lastElementChild!, `${nameOf(line)}: ${line.cut ? "cut here" : `gradient norm ${norm}`}`);
  });
  drawn.shapes.forEach((group, k) => {
    const norm = fromLog(tile.shapeNorms.log(k * columns + column));
    write(group.lastElementChild!, `${tile.shapes[k].about}: gradient norm ${norm}`);
  });
}
function mark(group: SVGGElement, css: string): void {
  if (group.getAttribute("class") !== css) group.setAttribute("class", css);
}
const grade = (css: string) => (css[0] === "g" ? Number(css.slice(1)) : -1);
/** Lines that begin alike lie on one another: the strongest has to be seen. */
function stack(drawn: Drawn, grades: number[]): void {
  const order = grades.map((_, k) => k).sort((a, b) => grades[a] - grades[b]);
  if (order.every((k, i) => k === drawn.order[i])) return;
  drawn.order = order;
  let next: Node | null = null;
  for (const k of [...order].reverse()) {
    const line = drawn.lines[k];
    if (line.nextSibling !== next || line.parentNode !== drawn.wires) drawn.wires.insertBefore(line, next);
    next = line;
  }
}
export function nameOf(line: Line): string {
  const end = (key: string) => key.replace(/^<(.*)/, "previous $1").replace(/^>(.*)/, "next $1");
  return `${end(line.from)} → ${end(line.to)}`;
}
