/** Fingers and mouse on something that can be moved and zoomed: one drags, two pinch, ctrl and the wheel zoom. */
export interface Hands {
  /** By how many pixels it was dragged; true if that was made use of. */
  drag?(dx: number, dy: number, event: PointerEvent): boolean;
  /** By how many pixels two fingers were moved together. */
  pan?(dx: number, dy: number): void;
  /** Zoomed by a factor about a point in pixels of the page. */
  zoom?(by: number, x: number, y: number): void;
  tap?(target: Element, event: PointerEvent): void;
}
const STILL = 4;

export function hands(element: HTMLElement | SVGElement, on: Hands): void {
  const down = new Map<number, PointerEvent>();
  let travelled = 0;
  const distance = () => {
    const [a, b] = [...down.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  };
  element.addEventListener("pointerdown", event => {
    const e = event as PointerEvent;
    down.set(e.pointerId, e);
    travelled = 0;
  });
  element.addEventListener("pointermove", event => {
    const e = event as PointerEvent,
      before = down.get(e.pointerId);
    if (!before || !e.buttons) return;
    travelled += Math.abs(e.clientX - before.clientX) + Math.abs(e.clientY - before.clientY);
    if (down.size === 2 && on.zoom) {
      const was = distance();
      down.set(e.pointerId, e);
      const [a, b] = [...down.values()];
      on.pan?.((e.clientX - before.clientX) / 2, (e.clientY - before.clientY) / 2);
      if (was > 0) on.zoom(was / Math.max(1, distance()), (a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2);
      travelled = Infinity;
    } else if (down.size === 1 && on.drag && travelled > STILL) {
      if (on.drag(e.clientX - before.clientX, e.clientY - before.clientY, e)) element.setPointerCapture(e.pointerId);
    }
    down.set(e.pointerId, e);
  });
  const up = (event: Event) => {
    const e = event as PointerEvent;
    if (down.delete(e.pointerId) && e.type === "pointerup" && travelled <= STILL) on.tap?.(e.target as Element, e);
  };
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(kind, up);
  element.addEventListener(
    "wheel",
    event => {
      const e = event as WheelEvent;
      if (!on.zoom || !(e.ctrlKey || e.metaKey)) return;
      e.preventDefault();
      on.zoom(1.0015 ** e.deltaY, e.clientX, e.clientY);
    },
    { passive: false },
  );
}
