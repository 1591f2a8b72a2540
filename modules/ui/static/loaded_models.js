// Lists the models that are loaded beside the page's own, on the Model tab (loaded_models.py).

import { $, $$, h, textButton, whenPresent } from "./dom.js";
import { keepFocus } from "./redraw.js";
import { attempt, get, post, turns } from "./requests.js";
import { toast } from "./toasts.js";

// How often memory and time since the last use are read again while the list is shown.
const LOOK_MS = 5000;

export class LoadedModels {
  constructor() {
    this.shown = "[]";
    this.turn = turns();
    setInterval(() => this.#readAgain(), LOOK_MS);
  }

  /** Show the list again if other models are loaded now. */
  update(state) {
    const now = JSON.stringify(state.beside);
    if (now === this.shown) return;
    this.shown = now;
    this.#read();
  }

  async #read() {
    const list = await whenPresent("#models-beside");
    const isLatest = this.turn();
    const models = this.shown === "[]" ? [] : await attempt(() => get("/models/loaded"));
    if (!isLatest()) return;
    // The next state tries again.
    if (!models) return void (this.shown = "");
    list.hidden = !models.length;
    const rows = models.map(row);
    keepFocus(list, () => list.replaceChildren(h("h4", {}, "Loaded models"), ...rows));
  }

  /** Change only the texts, so that a button keeps the focus. */
  async #readAgain() {
    const list = $("#models-beside");
    if (!list?.checkVisibility()) return;
    const models = await get("/models/loaded").catch(() => []);
    for (const text of $$(".state", list)) {
      const model = models.find((one) => one.model === text.dataset.model);
      if (model) text.textContent = model.facts;
    }
  }
}

function row({ model, facts, error, pinned, current }) {
  const pin = () => attempt(() => post("/models/loaded/pin", { model, pinned: !pinned }));
  const unload = async () => {
    const answer = await attempt(() => post("/models/loaded/unload", { model }));
    if (answer) toast(`Unloaded ${model}: ${answer.freed} of memory was freed.`);
  };
  return h(
    "div",
    { class: "loader", "data-row": model },
    h("strong", {}, model),
    current && h("span", { class: "quiet" }, " on this page"),
    h("p", { class: "state", "data-model": model }, facts),
    error && h("p", { class: "warning" }, error),
    h(
      "div",
      { class: "row" },
      textButton(pinned ? "Unpin" : "Pin", pin, { "aria-label": `${pinned ? "Unpin" : "Pin"} ${model}`, title: PIN }),
      !current && textButton("Unload", unload, { "aria-label": `Unload ${model}` }),
    ),
  );
}

const PIN = "A pinned model stays loaded until you unload it or load another one in its place";
