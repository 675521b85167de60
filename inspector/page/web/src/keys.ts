/** The keys of the page. They never take what an input, a button or a shortcut of the browser needs. */
export type Keys = Record<string, () => void>;

export function listen(hears: EventTarget, keys: Keys, own: (target: HTMLElement) => boolean): () => void {
  const hear = (event: Event) => {
    const e = event as KeyboardEvent,
      target = (e.composedPath()[0] ?? e.target) as HTMLElement;
    const name = `${e.shiftKey && (e.key.startsWith("Arrow") || e.key === " ") ? "S-" : ""}${e.key.length === 1 ? e.key.toLowerCase() : e.key}`,
      press = keys[name];
    if (!press || e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
    if (target.matches?.("input,select,textarea,[contenteditable]") && !own(target)) return;
    if ((e.key === " " || e.key === "Enter") && target.matches?.("button,summary,a")) return;
    e.preventDefault();
    press();
  };
  hears.addEventListener("keydown", hear);
  return () => hears.removeEventListener("keydown", hear);
}
