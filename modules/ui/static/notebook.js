// One text that the model continues. It lives on the host: a reload, or another page, goes on from where it stands.

import { $, attempt, h, post, toast } from "./dom.js";

export class Notebook {
  constructor() {
    this.author = crypto.randomUUID?.() || String(Math.random());
    this.area = $("#notebook-text");
    this.figures = $("#notebook-count");
    this.buttons = Object.fromEntries(["generate", "stop", "undo", "redo"].map((verb) => [verb, $(`#notebook-${verb}`)]));
    this.area.addEventListener("input", () => this.#later());
    this.area.addEventListener("blur", () => this.#write());
    for (const verb of ["stop", "undo", "redo"]) this.buttons[verb].addEventListener("click", () => this.#after(() => this.#ask(verb)));
    this.buttons.generate.addEventListener("click", () => this.generate());
    addEventListener("keydown", (event) => {
      if (document.body.dataset.view !== "notebook") return;
      if (event.key === "Escape" && this.writing) this.#ask("stop");
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target === this.area) (event.preventDefault(), this.generate());
    });
    this.tokens = 0;
  }

  #ask(verb, body = {}) {
    return attempt(() => post(`/notebook/${verb}`, { author: this.author, ...body }));
  }

  #later() {
    this.unsaved = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#write(), 500);
  }

  async #write() {
    clearTimeout(this.timer);
    if (!this.unsaved || this.writing) return;
    this.unsaved = false;
    await this.#ask("write", { text: this.area.value });
    this.count();
  }

  async #after(run) {
    await this.#write();
    await run();
  }

  async generate() {
    clearTimeout(this.timer);
    this.unsaved = false;
    await this.#ask("generate", { text: this.area.value });
  }

  async count() {
    const text = this.area.value;
    const answer = text ? await post("/notebook/count", { text }).catch(() => null) : { tokens: 0 };
    if (text !== this.area.value) return;
    const words = text.trim() ? text.trim().split(/\s+/).length : 0;
    const count = (number, one) => `${number.toLocaleString()} ${one}${number === 1 ? "" : "s"}`;
    const tokens = answer && answer.tokens !== null ? `${count(answer.tokens, "token")} · ` : "";
    this.figures.textContent = `${tokens}${count(words, "word")}`;
  }

  /** What changed besides growth; see notebook.py. */
  text(facts) {
    this.writing = facts.writing;
    const own = facts.author === this.author && !facts.writing;
    if (!own && !(this.unsaved && !facts.writing)) {
      const { selectionStart, selectionEnd } = this.area;
      if (this.area.value !== facts.text) {
        this.area.value = facts.text;
        this.area.setSelectionRange(Math.min(selectionStart, facts.text.length), Math.min(selectionEnd, facts.text.length));
      }
    }
    this.area.readOnly = facts.writing;
    this.buttons.generate.hidden = facts.writing;
    this.buttons.stop.hidden = !facts.writing;
    this.buttons.undo.disabled = facts.writing || !facts.undo;
    this.buttons.redo.disabled = facts.writing || !facts.redo;
    if (facts.error && facts.error.error !== this.said) toast(facts.error.error, { error: true, detail: facts.error.detail });
    this.said = facts.error?.error;
    if (!facts.writing) this.count();
  }

  growth({ add, tokens }) {
    const near = this.area.scrollHeight - this.area.scrollTop - this.area.clientHeight < 80;
    this.area.value += add;
    this.figures.textContent = `${tokens.toLocaleString()} new tokens`;
    if (near) this.area.scrollTop = this.area.scrollHeight;
  }
}
