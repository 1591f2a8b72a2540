// The list of models and adapters, each with Rename and Discard, and what is in the trash.

import { h, textButton } from "../dom.js";
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
    const known = JSON.stringify([models, adapters]);
    // A new name may be half typed.
    if (known !== this.known) {
      const rows = models.map((one) => this.#row(one, ""));
      this.list.replaceChildren(...rows, ...adapters.map((one) => this.#row(one, "LoRA adapter")));
    }
    this.known = known;
    this.trash.hidden = !trash.length;
    const row = ({ id, name }) => h("li", {}, `${name} `, textButton("Restore", () => this.actions.restore(id)));
    this.trash.lastElementChild.replaceChildren(...trash.map(row));
  }

  #row({ name, size_bytes: size }, kind) {
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
    const show = () => item.replaceChildren(title, row);
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
    const submit = async (event) => {
      event.preventDefault();
      save.disabled = true;
      if (input.value.trim() === name || (await this.actions.rename(name, input.value.trim()))) back();
      save.disabled = false;
    };
    const escape = (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      back();
    };
    return h("form", { class: "rename", onsubmit: submit, onkeydown: escape }, input, save, textButton("Cancel", back));
  }
}
