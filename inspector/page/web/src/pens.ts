/** Two pens for what is taken along: one writes an SVG, the other paints a picture. */
export interface Style {
  fill: string;
  stroke: string;
  width: number;
  dash: string;
  opacity: number;
  /** Whether its line is as wide whatever its scale. */
  fixed?: boolean;
}
export type Matrix = { a: number; b: number; c: number; d: number; e: number; f: number };
export interface Pen {
  path(d: string, style: Style, at: Matrix): void;
  text(words: string, x: number, y: number, size: number, style: Style, font: string, weight: string): void;
  image(picture: HTMLCanvasElement, x: number, y: number, width: number, height: number): void;
  clip(x: number, y: number, width: number, height: number): void;
  unclip(): void;
}

const escaped = (text: string) =>
  text.replace(/[&<>"\u0000-\u001f]/g, c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c] ?? " ");
const tag = (name: string, attributes: Record<string, string | number>, inside = "") =>
  `<${name}${Object.entries(attributes)
    .map(([k, v]) => ` ${k}="${escaped(String(v))}"`)
    .join("")}>${inside}</${name}>`;
/** What takes a matrix back. */
function inverse({ a, b, c, d, e, f }: Matrix): [number, number, number, number, number, number] {
  const m = new DOMMatrix([a, b, c, d, e, f]).inverse();
  return [m.a, m.b, m.c, m.d, m.e, m.f];
}
const round = (v: number) => Math.round(v * 100) / 100;

export class SvgPen implements Pen {
  #parts: string[] = [];
  #clips = 0;
  constructor(
    private width: number,
    private height: number,
    private paper: string,
    private title: string,
  ) {}
  path(d: string, s: Style, m: Matrix): void {
    this.#parts.push(
      tag("path", {
        d,
        fill: s.fill,
        stroke: s.stroke,
        "stroke-width": round(s.width),
        ...(s.dash === "none" ? {} : { "stroke-dasharray": s.dash }),
        ...(s.opacity < 1 ? { opacity: s.opacity } : {}),
        ...(s.fixed ? { "vector-effect": "non-scaling-stroke" } : {}),
        transform: `matrix(${[m.a, m.b, m.c, m.d, m.e, m.f].map(round).join(" ")})`,
      }),
    );
  }
  text(words: string, x: number, y: number, size: number, s: Style, font: string, weight: string): void {
    this.#parts.push(
      tag(
        "text",
        {
          x: round(x),
          y: round(y),
          "font-size": round(size),
          "font-family": font,
          "font-weight": weight,
          fill: s.fill,
        },
        escaped(words),
      ),
    );
  }
  image(picture: HTMLCanvasElement, x: number, y: number, width: number, height: number): void {
    this.#parts.push(
      tag("image", {
        href: picture.toDataURL("image/png"),
        x: round(x),
        y: round(y),
        width: round(width),
        height: round(height),
        preserveAspectRatio: "none",
        style: "image-rendering:pixelated",
      }),
    );
  }
  clip(x: number, y: number, width: number, height: number): void {
    const id = `clip${this.#clips++}`;
    this.#parts.push(
      tag("clipPath", { id }, tag("rect", { x: round(x), y: round(y), width: round(width), height: round(height) })),
      `<g clip-path="url(#${id})">`,
    );
  }
  unclip(): void {
    this.#parts.push("</g>");
  }
  get blob() {
    const [width, height] = [Math.ceil(this.width), Math.ceil(this.height)];
    return new Blob(
      [
        `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${tag("title", {}, escaped(this.title))}${tag(
          "rect",
          { width, height, fill: this.paper },
        )}${this.#parts.join("\n")}</svg>\n`,
      ],
      { type: "image/svg+xml" },
    );
  }
}

export class PaintPen implements Pen {
  #onto: CanvasRenderingContext2D;
  constructor(width: number, height: number, paper: string, scale: number) {
    const canvas = document.createElement("canvas");
    canvas.width = Math.ceil(width * scale);
    canvas.height = Math.ceil(height * scale);
    this.#onto = canvas.getContext("2d")!;
    this.#onto.scale(scale, scale);
    this.#onto.imageSmoothingEnabled = false;
    this.#onto.fillStyle = paper;
    this.#onto.fillRect(0, 0, width, height);
  }
  path(d: string, s: Style, m: Matrix): void {
    const onto = this.#onto,
      path = new Path2D(d);
    onto.save();
    onto.transform(m.a, m.b, m.c, m.d, m.e, m.f);
    onto.globalAlpha = s.opacity;
    if (s.fill !== "none") {
      onto.fillStyle = s.fill;
      onto.fill(path);
    }
    if (s.stroke !== "none" && s.width > 0) {
      onto.strokeStyle = s.stroke;
      onto.lineWidth = s.width;
      onto.setLineDash(s.dash === "none" ? [] : s.dash.split(/[ ,]+/).map(parseFloat));
      const scaled = new Path2D();
      scaled.addPath(path, m);
      if (s.fixed) onto.transform(...inverse(m));
      onto.stroke(s.fixed ? scaled : path);
    }
    onto.restore();
  }
  text(words: string, x: number, y: number, size: number, s: Style, font: string, weight: string): void {
    this.#onto.font = `${weight} ${size}px ${font}`;
    this.#onto.fillStyle = s.fill;
    this.#onto.fillText(words, x, y);
  }
  image(picture: HTMLCanvasElement, x: number, y: number, width: number, height: number): void {
    this.#onto.drawImage(picture, x, y, width, height);
  }
  clip(x: number, y: number, width: number, height: number): void {
    this.#onto.save();
    this.#onto.beginPath();
    this.#onto.rect(x, y, width, height);
    this.#onto.clip();
  }
  unclip(): void {
    this.#onto.restore();
  }
  get blob(): Promise<Blob> {
    return new Promise(done => this.#onto.canvas.toBlob(blob => done(blob!), "image/png"));
  }
}
