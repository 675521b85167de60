/** In a notebook: anywidget hands over the data, and Python answers what was not computed beforehand. */
import body from "../body.html";
import style from "../style.css";
import { mount } from "./main";
import { isDark, keepKeys, watchTheme } from "./surroundings";
import type { Answer, Ask } from "./sliders";

interface Model {
  get(name: string): any;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, hear: (...args: any[]) => void): void;
  off(event: string, hear: (...args: any[]) => void): void;
  send(content: unknown): void;
}
const LIVE = "live";

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const shadow = el.shadowRoot ?? el.attachShadow({ mode: "open" }),
    sheet = document.createElement("style"),
    still = document.createElement("style"),
    root = document.createElement("div");
  const waiting = new Map<number, (answer: Answer) => void>();
  let page: ReturnType<typeof mount> | null = null,
    asked = 0,
    telling = false;
  sheet.textContent = style + model.get("theme_css");
  // What the notebook keeps for readers without a widget, those with one need not see.
  still.textContent = `.${model.get("frame")}{display:none}`;
  root.className = "page widget";
  root.tabIndex = -1;
  shadow.replaceChildren(sheet, root);

  const ask: Ask = question =>
    new Promise(done => {
      const id = ++asked;
      waiting.set(id, done);
      model.send({ ask: "what_if", id, ...question });
    });
  const answered = (message: any, buffers: DataView[] = []) => {
    const done = waiting.get(message?.id);
    if (!done) return;
    waiting.delete(message.id);
    const view = buffers[0];
    done({
      kept: message.kept ?? null,
      error: message.error,
      norms: view && new Float64Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)),
    });
  };
  const moved = (t: number, run: string) => {
    if (model.get("t") === t && model.get("run") === run) return;
    telling = true; // the model calls after each of the two
    model.set("run", run);
    model.set("t", t);
    telling = false;
    model.save_changes();
  };
  const again = () => {
    page?.destroy();
    page = null;
    if (!el.clientWidth) return;
    // The body is a part of this file, never of the data: parsing it needs no innerHTML, which some notebooks forbid.
    const parsed = new DOMParser().parseFromString(body.replace(/\$\w+/g, ""), "text/html");
    root.replaceChildren(...parsed.body.childNodes);
    root.dataset.theme = isDark(el) ? "dark" : "light";
    page = mount(root, model.get("data"), { hears: root, ask: model.get(LIVE) === false ? undefined : ask, moved });
    document.head.append(still);
    follow();
  };
  const follow = () => {
    if (telling) return;
    if (page && page.run !== model.get("run")) page.select(model.get("run"));
    if (page && page.t !== model.get("t")) page.move(model.get("t"));
  };
  // Notebooks call before the widget has any room, and a tab that is not open has none for long.
  const room = new ResizeObserver(() => {
    if (!page) again();
  });
  const heard: [string, (...args: any[]) => void][] = [
    ["change:data", again],
    ["change:t", follow],
    ["change:run", follow],
    ["msg:custom", answered],
  ];
  room.observe(el);
  for (const [event, hear] of heard) model.on(event, hear);
  const leave = [keepKeys(el), watchTheme(() => page?.paint(isDark(el)))];
  return () => {
    page?.destroy();
    page = null;
    room.disconnect();
    still.remove();
    for (const last of leave) last();
    for (const [event, hear] of heard) model.off(event, hear);
  };
}
export default { render };
