// Lists the machines that have joined, on the Model tab (nodes.py).

import { h, textButton, whenPresent } from "./dom.js";
import { keepFocus } from "./redraw.js";
import { attempt, get, post, turns } from "./requests.js";

export class NodeList {
  constructor() {
    this.shown = "[]";
    this.turn = turns();
  }

  /** Show the list again if it has changed. */
  update(state) {
    const now = JSON.stringify(state.nodes);
    if (now === this.shown) return;
    this.shown = now;
    this.#read();
  }

  async #read() {
    const list = await whenPresent("#model-nodes");
    const isLatest = this.turn();
    const nodes = this.shown === "[]" ? [] : await attempt(() => get("/models/nodes"));
    if (!isLatest()) return;
    // The next state tries again.
    if (!nodes) return void (this.shown = "");
    list.hidden = !nodes.length;
    const rows = nodes.map(row);
    keepFocus(list, () => list.replaceChildren(h("h4", {}, "Nodes"), ...rows));
  }
}

function row({ name, address, facts, doing, problem }) {
  const remove = () => attempt(() => post("/models/nodes/remove", { name }));
  return h(
    "div",
    { class: "loader", "data-row": name },
    h("strong", {}, name),
    h("span", { class: "quiet" }, ` ${address}`),
    h("p", { class: "state" }, doing ? `${facts} · ${doing}` : facts),
    problem && h("p", { class: "warning" }, problem),
    h("div", { class: "row" }, textButton("Remove", remove, { "aria-label": `Remove ${name}` })),
  );
}
