/** The notebook around a widget, which has a theme of its own whatever the system's is. */
import { html } from "./dom";

/** Whether an element stands on something dark or, if nothing behind it has a colour, among light letters. */
export function isDark(element: Element): boolean {
  for (let at: Element | null = element; at; at = outside(at)) {
    const [brightness, alpha] = seen(getComputedStyle(at).backgroundColor);
    if (alpha > 128) return brightness < 128;
  }
  return seen(getComputedStyle(element).color)[0] > 128;
}
/** How bright a colour is, in whichever way it is written, and how opaque; of 255. */
function seen(colour: string): [number, number] {
  const pen = html("canvas", { width: 1, height: 1 }).getContext("2d")!;
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
  return [0.2126 * red + 0.7152 * green + 0.0722 * blue, alpha];
}
function outside(element: Element): Element | null {
  const root = element.getRootNode();
  return element.parentElement ?? (root instanceof ShadowRoot ? root.host : null);
}

/** Calls whenever the surroundings may have changed their theme: what notebooks switch are attributes of the page. */
export function watchTheme(changed: () => void): () => void {
  const night = matchMedia("(prefers-color-scheme: dark)"),
    watch = new MutationObserver(() => requestAnimationFrame(changed));
  for (const element of [document.documentElement, document.body]) watch.observe(element, { attributes: true });
  night.addEventListener("change", changed);
  return () => {
    watch.disconnect();
    night.removeEventListener("change", changed);
  };
}

/** Keeps keys that the widget has the focus for from the notebook, which has letters for commands, too; not chords. */
export function keepKeys(el: HTMLElement): () => void {
  const own = (e: KeyboardEvent) => !e.ctrlKey && !e.metaKey && !e.altKey && !(e.shiftKey && e.key === "Enter");
  // JupyterLab hears keys before the widget does, and asks for this attribute.
  const before = (e: KeyboardEvent) => el.toggleAttribute("data-lm-suppress-shortcuts", own(e));
  const after = (e: KeyboardEvent) => {
    if (own(e)) e.stopPropagation();
  };
  window.addEventListener("keydown", before, true);
  el.addEventListener("keydown", after);
  return () => {
    window.removeEventListener("keydown", before, true);
    el.removeEventListener("keydown", after);
  };
}
