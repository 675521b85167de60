/** Taking a view along, as SVG, PNG or CSV: what is on the screen is drawn once more, out of the elements as they are. */
import { html } from "./dom";
import { PaintPen, SvgPen, type Pen, type Style } from "./pens";

const MARGIN = 12,
  SCALE = 2;

/** The buttons; `views` are the elements that make the picture, `table` its numbers. */
export function takeAlong(
  name: () => string,
  views: () => Element[],
  table?: () => (string | number)[][],
): HTMLElement {
  const make = (text: string, press: () => void) => {
    const made = html("button", { type: "button", "aria-label": `Save as ${text}` }, text);
    made.addEventListener("click", press);
    return made;
  };
  const buttons = [
    make("SVG", () => void save(views(), name(), "svg")),
    make("PNG", () => void save(views(), name(), "png")),
  ];
  if (table)
    buttons.push(
      make("CSV", () =>
        download(
          new Blob(
            [
              table()
                .map(row => row.map(cell).join(","))
                .join("\r\n"),
              "\r\n",
            ],
            { type: "text/csv" },
          ),
          `${name()}.csv`,
        ),
      ),
    );
  return html("span", { class: "take" }, ...buttons);
}
const cell = (value: string | number) => {
  const text = String(value);
  return typeof value === "string" && /[",\r\n]|^[=+@\t-]/.test(text)
    ? `"${/^[=+@\t-]/.test(text) ? "'" : ""}${text.replace(/"/g, '""')}"`
    : text;
};

async function save(views: Element[], name: string, kind: "svg" | "png"): Promise<void> {
  const boxes = views.map(v => v.getBoundingClientRect()),
    left = Math.min(...boxes.map(b => b.left)) - MARGIN,
    top = Math.min(...boxes.map(b => b.top)) - MARGIN;
  const width = Math.max(...boxes.map(b => b.right)) - left + MARGIN,
    height = Math.max(...boxes.map(b => b.bottom)) - top + MARGIN;
  const paper = getComputedStyle(views[0].closest(".page")!).backgroundColor;
  const pen = kind === "svg" ? new SvgPen(width, height, paper, name) : new PaintPen(width, height, paper, SCALE);
  for (const view of views) copy(view, pen, -left, -top);
  download(await pen.blob, `${name}.${kind}`);
}
function download(blob: Blob, name: string): void {
  const link = html("a", { download: name.replace(/[^\p{L}\p{N}.]+/gu, "-") });
  link.href = URL.createObjectURL(blob);
  document.body.append(link); // VS Code saves what it sees clicked in its page
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const HIDDEN = ".take,.veil,.sr,.brush,.choice,button,.hit,.flow,title";
/** An element and all in it, as they are styled and where they stand. */
function copy(element: Element, pen: Pen, dx: number, dy: number): void {
  if (element.matches(HIDDEN)) return;
  const css = getComputedStyle(element);
  if (css.display === "none" || css.visibility === "hidden") return;
  if (element instanceof SVGGeometryElement) return geometry(element, css, pen, dx, dy);
  const box = element.getBoundingClientRect(),
    clips = css.overflow !== "visible" && (element instanceof HTMLElement || element.tagName === "svg");
  if (clips) pen.clip(box.left + dx, box.top + dy, box.width, box.height);
  if (element instanceof HTMLCanvasElement) pen.image(element, box.left + dx, box.top + dy, box.width, box.height);
  else if (
    element instanceof HTMLElement &&
    !/^rgba\(.*, 0\)$|^transparent$/.test(css.backgroundColor) &&
    box.width &&
    box.height
  )
    pen.path(
      `M0,0H${box.width}V${box.height}H0Z`,
      { fill: css.backgroundColor, stroke: "none", width: 0, dash: "none", opacity: Number(css.opacity) },
      moved(box.left + dx, box.top + dy),
    );
  for (const child of element.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) words(child as Text, css, element, pen, dx, dy);
    else if (child instanceof Element) copy(child, pen, dx, dy);
  }
  if (clips) pen.unclip();
}
const moved = (e: number, f: number) => ({ a: 1, b: 0, c: 0, d: 1, e, f });

function geometry(element: SVGGeometryElement, css: CSSStyleDeclaration, pen: Pen, dx: number, dy: number): void {
  const m = element.getScreenCTM(),
    style: Style = {
      fill: css.fill,
      stroke: css.stroke,
      width: parseFloat(css.strokeWidth),
      dash: css.strokeDasharray,
      opacity: Number(css.opacity),
      fixed: css.vectorEffect === "non-scaling-stroke",
    };
  const d = outline(element);
  if (m && d) pen.path(d, style, { a: m.a, b: m.b, c: m.c, d: m.d, e: m.e + dx, f: m.f + dy });
}
function outline(element: SVGGeometryElement): string {
  const n = (name: string) => Number(element.getAttribute(name) ?? 0);
  switch (element.tagName) {
    case "path":
      return element.getAttribute("d") ?? "";
    case "rect": {
      const [x, y, w, h, r] = [n("x"), n("y"), n("width"), n("height"), n("rx")],
        arc = (ex: number, ey: number) => (r ? `a${r},${r} 0 0 1 ${ex},${ey}` : "");
      return `M${x + r},${y}h${w - 2 * r}${arc(r, r)}v${h - 2 * r}${arc(-r, r)}h${2 * r - w}${arc(-r, -r)}v${2 * r - h}${arc(r, -r)}Z`;
    }
    default: {
      const rx = n("rx") || n("r"),
        ry = n("ry") || n("r"),
        x = n("cx"),
        y = n("cy");
      return `M${x - rx},${y}a${rx},${ry} 0 1 0 ${2 * rx},0a${rx},${ry} 0 1 0 ${-2 * rx},0Z`;
    }
  }
}
/** A text, word by word where it is broken into lines. */
function words(node: Text, css: CSSStyleDeclaration, parent: Element, pen: Pen, dx: number, dy: number): void {
  const range = document.createRange(),
    text = node.data;
  const scale = parent instanceof SVGGraphicsElement ? (parent.getScreenCTM()?.a ?? 1) : 1,
    size = parseFloat(css.fontSize) * scale;
  const fill = parent instanceof SVGElement ? css.fill : css.color,
    style: Style = { fill, stroke: "none", width: 0, dash: "none", opacity: 1 };
  const put = (start: number, end: number) => {
    range.setStart(node, start);
    range.setEnd(node, end);
    const box = range.getBoundingClientRect();
    if (box.width > 1)
      pen.text(
        text.slice(start, end),
        box.left + dx,
        box.top + dy + box.height / 2 + 0.35 * size,
        size,
        style,
        css.fontFamily,
        css.fontWeight,
      );
  };
  range.selectNodeContents(node);
  const lines = new Set([...range.getClientRects()].map(r => Math.round(r.top)));
  if (lines.size < 2) return put(0, text.length);
  for (const match of text.matchAll(/\S+/g)) put(match.index, match.index + match[0].length);
}
