// The command palette: a window with one field that finds commands, chats, models, presets and settings.

import { availableCommands, commandsOfSources } from "../commands.js";
import { $, h } from "../dom.js";
import { turns } from "../requests.js";
import { matching } from "./match.js";
import { keyNames } from "./shortcuts.js";

// Shown of each group, so that many chats do not hide the other groups.
const SHOWN = { "": 6, query: 30 };
const ACTIONS = "Actions";
// Groups that are not named here come last. Among the matches of a query, the group of the best one comes first.
const ORDER = [ACTIONS, "This chat", "Views", "Settings", "Chats"];
const placeOf = (group) => (ORDER.includes(group) ? ORDER.indexOf(group) : ORDER.length);
const groupOf = (command) => command.group ?? ACTIONS;

export class Palette {
  constructor() {
    this.commands = [];
    this.shown = [];
    this.active = 0;
    this.turn = turns();
    this.field = h("input", {
      type: "text",
      class: "palette-field",
      role: "combobox",
      "aria-label": "Find a command",
      "aria-expanded": "true",
      "aria-controls": "palette-list",
      "aria-autocomplete": "list",
      autocomplete: "off",
      spellcheck: "false",
      enterkeyhint: "go",
      placeholder: "Find a chat, model, preset, setting or action",
    });
    this.list = h("div", { id: "palette-list", class: "palette-list", role: "listbox", "aria-label": "Commands" });
    this.count = h("p", { class: "palette-count", role: "status" });
    const attributes = { id: "palette", class: "window", "aria-label": "Commands" };
    this.dialog = h("dialog", attributes, this.field, this.list, this.count);
    document.body.append(this.dialog);
    this.field.addEventListener("input", () => this.#filter());
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  /** Open the palette, or close it if it is open. */
  toggle() {
    if (this.dialog.open) return this.dialog.close();
    // A window below it would keep the focus.
    if (document.querySelector("dialog:modal")) return;
    this.field.value = "";
    this.commands = availableCommands().filter(({ id }) => id !== "palette");
    this.dialog.showModal();
    this.#filter();
    // What an earlier opening asked for may come only now.
    const isLatest = this.turn();
    for (const arriving of commandsOfSources()) arriving.then((more) => isLatest() && this.#add(more), () => {});
  }

  #add(more) {
    this.commands = [...this.commands, ...more];
    if (this.dialog.open) this.#filter(this.shown[this.active]);
  }

  /** Show what matches the field, and mark the first, or `active` if the person has moved to it. */
  #filter(active = null) {
    const query = this.field.value;
    const found = matching(this.commands, query, ({ label, group }) => `${label} ${group ?? ""}`);
    const limit = query.trim() ? SHOWN.query : SHOWN[""];
    const groups = [...groupBy(found, groupOf)];
    if (!query.trim()) groups.sort(([first], [second]) => placeOf(first) - placeOf(second));
    this.shown = groups.flatMap(([, commands]) => commands.slice(0, limit));
    this.active = Math.max(0, this.active && active ? this.shown.indexOf(active) : 0);
    const rows = [];
    let heading = "";
    this.shown.forEach((command, index) => {
      const name = groupOf(command);
      if (name !== heading) rows.push(h("div", { class: "palette-heading", role: "presentation" }, (heading = name)));
      rows.push(this.#row(command, index));
    });
    this.list.replaceChildren(...rows);
    this.count.textContent = this.shown.length ? "" : "Nothing matches.";
    this.count.hidden = this.shown.length > 0;
    this.#mark();
  }

  #row(command, index) {
    const keys = command.keys ? keyNames(command.keys).map((key) => h("kbd", {}, key)) : [];
    return h(
      "div",
      { id: `palette-${index}`, class: "palette-row", role: "option", onclick: () => this.#run(index) },
      h("span", { translate: command.isData ? "no" : false, dir: "auto" }, command.label),
      keys.length ? h("span", { class: "palette-keys", "aria-hidden": "true" }, keys) : null,
    );
  }

  #mark() {
    for (const [index, row] of this.list.querySelectorAll(".palette-row").entries())
      row.setAttribute("aria-selected", String(index === this.active));
    const row = $(`#palette-${this.active}`, this.list);
    if (!row) return this.field.removeAttribute("aria-activedescendant");
    this.field.setAttribute("aria-activedescendant", row.id);
    row.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const last = this.shown.length - 1;
    const by = (step) => this.active + step;
    const steps = { ArrowDown: by(1), ArrowUp: by(-1), PageDown: by(8), PageUp: by(-8) };
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      this.#run(this.active);
    } else if (event.key in steps && last >= 0) {
      event.preventDefault();
      const next = steps[event.key];
      // The arrows go round; the page keys stop at the ends.
      if (event.key.startsWith("Arrow")) this.active = next < 0 ? last : next > last ? 0 : next;
      else this.active = Math.min(last, Math.max(0, next));
      this.#mark();
    }
  }

  #run(index) {
    const command = this.shown[index];
    if (!command) return;
    this.dialog.close();
    command.run();
  }
}

/** Return the items in a map by their key, in their order. */
function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}
