// The knowledge of a chat: a window with a switch for each, opened from the composer, where knowledge is also made.

import { ChatWindow } from "../chat_window.js";
import { $$, clearSent, h, textButton } from "../dom.js";
import { drawRows, forgetRows, keepFocus } from "../redraw.js";
import "./chat_section.js";
import { drawFiles } from "./files.js";

const LOOK_AGAIN = 700;

export class KnowledgePanel extends ChatWindow {
  constructor() {
    super("knowledge", "Knowledge", LOOK_AGAIN);
    this.list = h("div", { class: "knowledge-list" });
    this.status = h("p", { class: "quiet", role: "status" });
    this.model = h("div", { class: "knowledge-model" });
    // Name -> the list of its files, which stays as it is while the rest of its row changes.
    this.files = new Map();
    this.dialog.append(this.list, this.#form(), this.model, this.status);
  }

  labelOf(on) {
    return on ? `Knowledge: ${on} on` : "Knowledge";
  }

  answered(path, body, found) {
    if (path !== "refresh" && !body.folder) return;
    // A small folder has been read before the answer comes. The end is announced then too, and once more each time.
    this.status.textContent = "";
    this.busy = Boolean(found);
  }

  draw(found, changed) {
    const busy = found.installing || found.items.some((item) => item.busy);
    if (!busy && this.busy) this.status.textContent = "All documents have been read.";
    this.scope.textContent = this.chat
      ? "Documents that the model may read in this chat. It gets the passages that match your question."
      : "Documents that the model may read in new chats. It gets the passages that match your question.";
    if (changed) forgetRows(this.list);
    const open = new Set($$("details[open]", this.list).map((node) => node.id));
    const rows = [...found.items, ...found.missing.map((name) => ({ name, missing: true }))];
    drawRows(
      this.list,
      rows,
      ({ name }) => name,
      (row) => (row.missing ? this.#missing(row.name) : this.#item(row)),
    );
    for (const node of $$("details", this.list)) if (open.has(node.id)) node.open = true;
    this.folder.hidden = !found.folders;
    this.#drawModel(found, changed);
    return busy;
  }

  #item({ name, folder, own, on, phase, busy, facts, notes, problems }) {
    const id = `knowledge-${name}`;
    const box = h("input", { type: "checkbox", id, checked: on, "aria-describedby": `${id}-about` });
    box.addEventListener("change", () => this.change("switch", { name, on: box.checked }));
    const button = (label, what, run, extra = {}) =>
      textButton(label, run, { kind: "small", id: `${id}-${what}`, "aria-label": `${label}: ${name}`, ...extra });
    const read = button("Read again", "read", () => this.change("refresh", { name }), { disabled: busy });
    const remove = button("Remove", "remove", () => this.#remove(name, own));
    return h(
      "div",
      { class: "tool-row knowledge-row" },
      h("label", { for: id }, box, h("span", {}, name)),
      h("p", { class: "about", id: `${id}-about` }, [folder, facts, phase].filter(Boolean).join(" · ")),
      notes.map((note) => h("p", { class: "warning" }, note)),
      problems.length ? drawProblems(id, problems) : null,
      own ? this.#filesOf(id, name) : null,
      h("div", { class: "row" }, read, remove),
    );
  }

  #filesOf(id, name) {
    if (!this.files.has(name)) this.files.set(name, drawFiles(id, name, () => this.refresh()));
    return this.files.get(name);
  }

  #missing(name) {
    const drop = textButton("Forget it", () => this.change("switch", { name, on: false }), { kind: "small" });
    const text = `${name} was removed, and this chat still names it. `;
    return h("p", { class: "warning" }, text, drop);
  }

  #remove(name, own) {
    const lost = own ? " The files that you added to it stay in Paddock's folder." : " Its folder stays as it is.";
    if (!confirm(`Remove the knowledge ${name}?${lost}`)) return;
    this.files.delete(name);
    this.change("remove", { name });
  }

  #form() {
    const name = h("input", { type: "text", id: "knowledge-name", maxLength: 60, required: true });
    const path = h("input", { type: "text", id: "knowledge-folder", placeholder: "/home/me/documents" });
    const about = "The folder of the documents, on the computer that runs Paddock. Leave it empty to add files here.";
    const label = h("label", { for: "knowledge-folder" }, "Folder");
    this.folder = h("div", {}, label, path, h("p", { class: "quiet" }, about));
    const add = h("button", { type: "submit", class: "button primary" }, "Add");
    const onsubmit = async () => {
      const sent = { name: name.value, folder: path.value };
      if (!(await this.change("create", sent))) return;
      clearSent(name, sent.name);
      clearSent(path, sent.folder);
    };
    return h(
      "form",
      { class: "knowledge-form", onsubmit },
      h("h3", {}, "New knowledge"),
      h("div", {}, h("label", { for: "knowledge-name" }, "Name"), name),
      this.folder,
      add,
    );
  }

  #drawModel({ model, models, installing, error }, changed) {
    const shown = JSON.stringify([model, models, installing, error]);
    // A list of choices that is open would close.
    if (shown === this.shownModel && !changed) return;
    this.shownModel = shown;
    const select = h("select", { id: "knowledge-model", disabled: installing });
    select.append(...models.map(({ value, label }) => h("option", { value, selected: value === model }, label)));
    select.addEventListener("change", () => this.change("model", { model: select.value }));
    const parts = [
      h("label", { for: "knowledge-model" }, "Search by meaning with"),
      select,
      h("p", { class: "quiet" }, installing ? "Installing…" : "A passage is always found by its words as well."),
      error ? h("p", { class: "warning" }, error) : "",
    ];
    keepFocus(this.model, () => this.model.replaceChildren(...parts));
  }
}

function drawProblems(id, problems) {
  const count = problems.length === 1 ? "1 document was not read" : `${problems.length} documents were not read`;
  const entries = problems.map((problem) => h("li", {}, problem));
  return h("details", { id: `${id}-problems`, class: "warning" }, h("summary", {}, count), h("ul", {}, entries));
}
