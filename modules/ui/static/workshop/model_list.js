// The list of models and adapters, each with Rename and Discard, and what is in the trash.

import { h, textButton } from "../dom.js";
import { drawRows, keepFocus } from "../redraw.js";
import { bytes } from "./format.js";
import { askingRow } from "./made.js";

export class ModelList {
  /** `actions`: rename(model, name), which resolves to false if it failed, discard(model), restore(id). */
  constructor(actions) {
    this.actions = actions;
    this.list = h("ul", { class: "model-list" });
    this.trash = h("details", { id: "trash" }, h("summary", {}, "Trash"), h("ul"));
    const about = "What is saved for a model follows it to its new name. Discarded models can be restored.";
    this.node = h(
      "section",
      { class: "panel", "aria-label": "Models" },
      h("h2", {}, "Models"),
      h("p", { class: "quiet" }, about),
      this.list,
      this.trash,
    );
  }

  update({ models, adapters, trash }) {
    const label = (kind) => (one) => ({ name: one.name, size: one.size_bytes, kind });
    const all = [...models.map(label("")), ...adapters.map(label("LoRA adapter"))];
    // A row may have a new name that is half typed, or a question.
    drawRows(
      this.list,
      all,
      ({ name }) => name,
      (one) => this.#row(one),
    );
    const row = ({ id, name }) => h("li", {}, `${name} `, textButton("Restore", () => this.actions.restore(id)));
    drawRows(this.trash.lastElementChild, trash, ({ id }) => id, row);
    this.trash.hidden = !trash.length;
  }

  #row({ name, size, kind }) {
    const item = h("li", { "data-model": name });
    const buttons = [textButton("Rename", () => form())];
    const row = askingRow(buttons, {
      label: "Discard",
      ask: `Discard ${name}?`,
      yes: "Move to the trash",
      run: () => this.actions.discard(name),
    });
    const title = h("div", { class: "method-head" }, h("strong", {}, name), h("span", { class: "quiet" }, bytes(size)));
    if (kind) title.append(h("span", { class: "tag" }, kind));
    const show = () => keepFocus(item, () => item.replaceChildren(title, row), row.firstElementChild);
    const form = () => {
      const entry = this.#form(name, show);
      item.replaceChildren(entry);
      entry.firstElementChild.select();
    };
    show();
    return item;
  }

  /** Return the form for a new name; `back` shows the row again. */
  #form(name, back) {
    const input = h("input", { type: "text", value: name, autocomplete: "off", "aria-label": `New name of ${name}` });
    const save = textButton("Save", () => {}, { kind: "primary", type: "submit" });
    const submit = async () => {
      if (input.value.trim() === name || (await this.actions.rename(name, input.value.trim()))) back();
    };
    const escape = (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      back();
    };
    return h("form", { class: "rename", onsubmit: submit, onkeydown: escape }, input, save, textButton("Cancel", back));
  }
}
