/** In an HTML file: the data stand in the page. */
import { find, html } from "./dom";
import { mount } from "./main";

const root = find(document, "#page");
try {
  Object.assign(window, {
    inspectorPage: mount(root, find(document, "#data").textContent ?? "", {
      hears: document,
      address: location.protocol !== "about:", // within a notebook's export, it has none
    }),
  });
} catch (error) {
  root.prepend(
    html(
      "p",
      { class: "failed", role: "alert" },
      `This page cannot show its data: ${error instanceof Error ? error.message : String(error)}.`,
    ),
  );
  throw error;
}
performance.mark("ready");
