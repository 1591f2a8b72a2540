// The list of shortcuts: a window that shows the keys of all commands.

import { commandsWithKeys } from "../commands.js";
import { h, iconButton } from "../dom.js";
import { keyNames, singleKeys } from "./shortcuts.js";

// Keys that parts of the page handle themselves.
const FIXED = [
  { label: "Send the message", keys: "Enter" },
  { label: "Start a new line in the message", keys: "Shift+Enter" },
  { label: "Stop the reply, or close what is open", keys: "Esc" },
  { label: "Generate in the Notebook", keys: "Mod+Enter" },
];

export class ShortcutList {
  constructor() {
    const close = iconButton("close", "Close", () => this.dialog.close());
    const head = h("div", { class: "window-head" }, h("h2", { id: "shortcuts-heading" }, "Keyboard shortcuts"), close);
    this.list = h("dl", { class: "shortcut-list" });
    this.switch = h("input", { type: "checkbox", id: "single-keys" });
    this.switch.addEventListener("change", () => (singleKeys.on = this.switch.checked));
    const about = "Single keys work while no field has the focus. Switch them off if you dictate to this computer.";
    const label = { class: "shortcut-switch", for: "single-keys" };
    const choice = h("label", label, this.switch, "Shortcuts of a single key");
    this.dialog = h(
      "dialog",
      { id: "shortcuts", class: "window", "aria-labelledby": "shortcuts-heading" },
      head,
      this.list,
      choice,
      h("p", { class: "quiet" }, about),
    );
    document.body.append(this.dialog);
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  /** Open the list, or close it if it is open. */
  toggle() {
    if (this.dialog.open) return this.dialog.close();
    if (document.querySelector("dialog:modal")) return;
    const entries = [...commandsWithKeys(), ...FIXED];
    this.list.replaceChildren(...entries.map((entry) => row(entry)));
    this.switch.checked = singleKeys.on;
    this.dialog.showModal();
  }
}

/** @param {{label: string, keys?: string}} entry */
const row = ({ label, keys = "" }) =>
  h("div", {}, h("dt", {}, label), h("dd", {}, keyNames(keys).map((key) => h("kbd", {}, key))));
