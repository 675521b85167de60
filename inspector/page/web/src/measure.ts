/** How wide words are, and names that fit where they stand. */
const pen = document.createElement("canvas").getContext("2d");
const FONT = "Helvetica, Arial, sans-serif",
  LONGEST = 200;

export function widthOf(text: string, size: number, weight = "400"): number {
  if (!pen) return 0.6 * size * text.length;
  pen.font = `${weight} ${size}px ${FONT}`;
  return pen.measureText(text).width;
}
/** A name, with its path abbreviated where it is too long (`layer3/forward/c` to `l3/f/c`), else with a gap in the middle. */
export function fitName(name: string, room: number, size: number, weight = "400"): string {
  const fits = (text: string) => widthOf(text, size, weight) <= room;
  if (name.length < LONGEST && fits(name)) return name;
  const parts = name.split("/"),
    brief = parts
      .map((part, k) => (k === parts.length - 1 ? part : part.replace(/^(.)\D*(\d*).*$/s, "$1$2")))
      .join("/");
  if (brief.length < LONGEST && fits(brief)) return brief;
  return cut(brief, fits, true);
}
/** A label that people gave, with as much of its beginning as fits. */
export function fitLabel(name: string, room: number, size: number, weight = "400"): string {
  const fits = (text: string) => widthOf(text, size, weight) <= room;
  return name.length < LONGEST && fits(name) ? name : cut(name, fits);
}
/** As much of a text as fits, with an ellipsis for the rest. */
export function cut(text: string, fits: (text: string) => boolean, middle = false): string {
  const letters = [...text].slice(0, LONGEST),
    end = middle ? [...text].slice(-6) : [];
  let low = 0,
    high = letters.length;
  const made = (n: number) => {
    const tail = end.slice(end.length - Math.min(end.length, n >> 1));
    return `${letters.slice(0, n - tail.length).join("")}…${tail.join("")}`;
  };
  while (low < high) {
    const n = (low + high + 1) >> 1;
    if (fits(made(n))) low = n;
    else high = n - 1;
  }
  return low || fits("…") ? made(low) : "";
}
