// The knowledge of a chat: a window with a switch for each, opened from the composer, where knowledge is also made.

import { $, h, iconButton, textButton } from "../dom.js";
import { attempt, get, post } from "../requests.js";
import "./chat_section.js";
import { drawFiles } from "./files.js";

const LOOK_AGAIN = 700;

export class KnowledgePanel {
  constructor() {
    // The id of the open chat, or "" for a new one.
    this.chat = "";
    this.button = $("#open-knowledge");
    this.scope = h("p", { class: "quiet" });
    this.list = h("div", { class: "knowledge-list" });
    this.status = h("p", { class: "quiet", role: "status" });
    this.model = h("div", { class: "knowledge-model" });
    this.form = this.#form();
    const close = iconButton("close", "Close", () => this.dialog.close());
    const head = h("div", { class: "tools-head" }, h("h2", { id: "knowledge-heading" }, "Knowledge"), close);
    const attributes = { id: "knowledge-panel", class: "side-window", "aria-labelledby": "knowledge-heading" };
    const parts = [head, this.scope, this.list, this.form, this.model, this.status];
    this.dialog = h("dialog", attributes, ...parts);
    document.body.append(this.dialog);
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.button.addEventListener("click", () => this.open());
  }

  /** Show the knowledge of this chat from now on; with an empty id, that of new chats. */
  openChat(chat) {
    this.chat = chat;
    this.dialog.close();
    this.#count();
  }

  async #count() {
    const { chat } = this;
    const answer = await attempt(() => get(`/knowledge/on?chat=${encodeURIComponent(chat)}`));
    if (answer && chat === this.chat) this.#mark(answer.on.length);
  }

  #mark(on) {
    this.button.setAttribute("aria-label", on ? `Knowledge: ${on} on` : "Knowledge");
    this.button.classList.toggle("some", on > 0);
  }

  async open() {
    await this.refresh();
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** Read the list again. */
  async refresh() {
    const { chat } = this;
    const found = await attempt(() => get(`/knowledge?chat=${encodeURIComponent(chat)}`));
    if (found && chat === this.chat) this.#draw(found);
    // The host may answer again in a moment.
    else if (this.busy) this.#lookAgain();
  }

  #lookAgain() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.dialog.open && this.refresh(), LOOK_AGAIN);
  }

  async #change(path, body) {
    const { chat } = this;
    const found = await attempt(() => post(`/knowledge/${path}`, { chat, ...body }));
    if (path === "refresh" || body.folder) {
      // A small folder has been read before the answer comes. The end is announced then too, and once more each time.
      this.status.textContent = "";
      this.busy = Boolean(found);
    }
    if (found && chat === this.chat) this.#draw(found);
    else await this.refresh();
    return found;
  }

  #draw(found) {
    this.#mark(found.on);
    clearTimeout(this.timer);
    const busy = found.installing || found.items.some((item) => item.busy);
    if (busy) this.#lookAgain();
    else if (this.busy) this.status.textContent = "All documents have been read.";
    this.busy = busy;
    this.scope.textContent = this.chat
      ? "Documents that the model may read in this chat. It gets the passages that match your question."
      : "Documents that the model may read in new chats. It gets the passages that match your question.";
    const focused = document.activeElement?.id;
    const open = new Set([...this.list.querySelectorAll("details[open]")].map((node) => node.id));
    const missing = found.missing.map((name) => this.#missing(name));
    this.list.replaceChildren(...found.items.map((item) => this.#item(item)), ...missing);
    for (const node of this.list.querySelectorAll("details")) node.open = open.has(node.id);
    this.folder.hidden = !found.folders;
    this.#drawModel(found);
    if (focused && this.dialog.open) document.getElementById(focused)?.focus();
  }

  #item({ name, folder, own, on, phase, busy, facts, notes, problems }) {
    const id = `knowledge-${name}`;
    const box = h("input", { type: "checkbox", id, checked: on, "aria-describedby": `${id}-about` });
    box.addEventListener("change", () => this.#change("switch", { name, on: box.checked }));
    const button = (label, what, run, extra = {}) =>
      textButton(label, run, { kind: "small", id: `${id}-${what}`, "aria-label": `${label}: ${name}`, ...extra });
    const read = button("Read again", "read", () => this.#change("refresh", { name }), { disabled: busy });
    const remove = button("Remove", "remove", () => this.#remove(name, own));
    return h(
      "div",
      { class: "tool-row knowledge-row" },
      h("label", { for: id }, box, h("span", {}, name)),
      h("p", { class: "about", id: `${id}-about` }, [folder, facts, phase].filter(Boolean).join(" · ")),
      notes.map((note) => h("p", { class: "warning" }, note)),
      problems.length ? drawProblems(id, problems) : null,
      own ? drawFiles(id, name, () => this.refresh()) : null,
      h("div", { class: "row" }, read, remove),
    );
  }

  #missing(name) {
    const drop = textButton("Forget it", () => this.#change("switch", { name, on: false }), { kind: "small" });
    const text = `${name} was removed, and this chat still names it. `;
    return h("p", { class: "warning" }, text, drop);
  }

  #remove(name, own) {
    const lost = own ? " The files that you added to it stay in Paddock's folder." : " Its folder stays as it is.";
    if (confirm(`Remove the knowledge ${name}?${lost}`)) this.#change("remove", { name });
  }

  #form() {
    const name = h("input", { type: "text", id: "knowledge-name", maxLength: 60, required: true });
    const path = h("input", { type: "text", id: "knowledge-folder", placeholder: "/home/me/documents" });
    const about = "The folder of the documents, on the computer that runs Paddock. Leave it empty to add files here.";
    const label = h("label", { for: "knowledge-folder" }, "Folder");
    this.folder = h("div", {}, label, path, h("p", { class: "quiet" }, about));
    const add = h("button", { type: "submit", class: "button primary" }, "Add");
    const onsubmit = async (event) => {
      event.preventDefault();
      add.disabled = true;
      if (await this.#change("create", { name: name.value, folder: path.value })) name.value = path.value = "";
      add.disabled = false;
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

  #drawModel({ model, models, installing, error }) {
    const select = h("select", { id: "knowledge-model", disabled: installing });
    select.append(...models.map(({ value, label }) => h("option", { value, selected: value === model }, label)));
    select.addEventListener("change", () => this.#change("model", { model: select.value }));
    this.model.replaceChildren(
      h("label", { for: "knowledge-model" }, "Search by meaning with"),
      select,
      h("p", { class: "quiet" }, installing ? "Installing…" : "A passage is always found by its words as well."),
      error ? h("p", { class: "warning" }, error) : "",
    );
  }
}

function drawProblems(id, problems) {
  const count = problems.length === 1 ? "1 document was not read" : `${problems.length} documents were not read`;
  const entries = problems.map((problem) => h("li", {}, problem));
  return h("details", { id: `${id}-problems`, class: "warning" }, h("summary", {}, count), h("ul", {}, entries));
}
