// The list of notebooks: choose, make, rename and delete one.

import { addCommand, addCommandSource } from "../commands.js";
import { $, h } from "../dom.js";
import { attempt, get, post, turns } from "../requests.js";
import { toast } from "../toasts.js";

const KEY = "paddock.notebook.name";
// The first notebook has no name.
const FIRST = "Notebook";

export class NotebookList {
  /** `leave()` resolves to false if the present text could not be saved; `changed()` is called after a switch. */
  constructor({ leave, changed }) {
    this.leave = leave;
    this.changed = changed;
    this.names = [];
    this.turn = turns();
    this.current = localStorage.getItem(KEY) || "";
    this.choice = $("#notebook-choice");
    this.choice.addEventListener("change", () => this.show(this.choice.value));
    $("#notebook-new").addEventListener("click", () => this.#name("", (title) => this.#create(title)));
    $("#notebook-rename").addEventListener("click", () => {
      const { current } = this;
      this.#name(current, (title) => this.#rename(current, title));
    });
    $("#notebook-delete").addEventListener("click", () => this.#remove());
    addCommand({ id: "new-notebook", label: "New notebook", group: "Views", run: () => this.#open("#notebook-new") });
    addCommandSource(() => this.names.map((name) => this.#command(name)));
    this.#draw();
    this.refresh();
  }

  /** Show the view, and press one of its buttons. */
  #open(button) {
    $("[data-view=notebook]").click();
    $(button).click();
  }

  #command(name) {
    const run = () => ($("[data-view=notebook]").click(), this.show(name));
    return { id: `notebook-${name}`, label: name, isData: true, group: "Notebooks", run };
  }

  /** Read the list again. The notebook that was shown may have been deleted on another page. */
  async refresh() {
    const isLatest = this.turn();
    const answer = await get("/notebooks").catch(() => null);
    if (!answer || !isLatest()) return;
    this.names = answer.names;
    if (this.current && !this.names.includes(this.current)) this.#switch("");
    this.#draw();
  }

  /** Show another notebook, once the present text is saved. */
  async show(name) {
    if (name === this.current) return;
    if ((await this.leave()) === false) return this.#draw();
    this.#switch(name);
  }

  #switch(name) {
    this.current = name;
    localStorage.setItem(KEY, name);
    this.#draw();
    this.changed();
  }

  #draw() {
    const names = ["", ...new Set([...this.names, ...(this.current ? [this.current] : [])])];
    this.choice.replaceChildren(...names.map((name) => h("option", { value: name }, name || FIRST)));
    this.choice.value = this.current;
    for (const id of ["#notebook-rename", "#notebook-delete"]) $(id).disabled = !this.current;
  }

  /** Let the person write a name in place of the list. Enter takes it, Escape does not. */
  #name(text, take) {
    const attributes = { "aria-label": "Name of the notebook", value: text, maxlength: "100" };
    const field = h("input", { type: "text", class: "notebook-name", ...attributes });
    let ended = false;
    const end = (taken) => {
      if (ended) return;
      ended = true;
      field.replaceWith(this.choice);
      if (taken && field.value.trim()) take(field.value.trim());
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) end(true);
      if (event.key === "Escape") (event.stopPropagation(), end(false));
    });
    field.addEventListener("blur", () => end(true));
    this.choice.replaceWith(field);
    field.focus();
    field.select();
  }

  async #create(title) {
    const answer = await attempt(() => post("/notebooks/create", { title }));
    if (!answer) return;
    await this.refresh();
    await this.show(answer.name);
    $("#notebook-text").focus();
  }

  async #rename(notebook, title) {
    if ((await this.leave()) === false) return;
    const answer = await attempt(() => post("/notebooks/rename", { notebook, title }));
    if (!answer || answer.name === notebook) return;
    this.names = this.names.map((name) => (name === notebook ? answer.name : name));
    if (this.current === notebook) this.#switch(answer.name);
    this.refresh();
  }

  async #remove() {
    const name = this.current;
    if (!name || (await this.leave()) === false) return;
    if ((await attempt(() => post("/notebooks/delete", { notebook: name }))) === false) return;
    if (this.current === name) this.#switch("");
    this.refresh();
    const undo = async () => {
      const answer = await attempt(() => post("/notebooks/restore", { notebook: name }));
      if (answer) (await this.refresh(), this.show(answer.name));
    };
    toast(`Deleted the notebook “${name}”.`, { action: { label: "Undo", run: undo } });
  }
}
