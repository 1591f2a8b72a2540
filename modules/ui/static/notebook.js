// One text that the model continues. It lives on the host: a reload, or another page, goes on from where it stands.

import { $, Trouble, attempt, post, toast, unsay } from "./dom.js";
import { keepDraft } from "./drafts.js";

const DRAFT = "paddock.notebook.draft";
// What could not be saved is tried again after so many milliseconds.
const AGAIN = 4000;

const many = (number, one) => `${number.toLocaleString()} ${one}${number === 1 ? "" : "s"}`;

export class Notebook {
  constructor() {
    this.author = crypto.randomUUID?.() || String(Math.random());
    this.area = $("#notebook-text");
    this.figures = $("#notebook-count");
    this.buttons = Object.fromEntries(["generate", "stop", "undo", "redo"].map((verb) => [verb, $(`#notebook-${verb}`)]));
    this.area.addEventListener("input", () => this.#changed());
    this.area.addEventListener("blur", () => this.#write());
    for (const verb of ["stop", "undo", "redo"]) this.buttons[verb].addEventListener("click", () => this.#after(() => this.#ask(verb)));
    this.buttons.generate.addEventListener("click", () => this.generate());
    addEventListener("keydown", (event) => {
      if (document.body.dataset.view !== "notebook") return;
      if (event.key === "Escape" && this.writing) this.#ask("stop");
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target === this.area) (event.preventDefault(), this.generate());
    });
    this.tokens = 0;
    this.edits = 0;
    this.saving = Promise.resolve();
    // What an earlier visit could not save; it comes back with the first word of the host.
    this.draft = localStorage.getItem(DRAFT);
  }

  /** A touch screen's keyboard would cover half of the text. */
  focus() {
    if (matchMedia("(hover: hover)").matches) this.area.focus({ preventScroll: true });
  }

  #ask(verb, body = {}) {
    return attempt(() => post(`/notebook/${verb}`, { author: this.author, ...body }));
  }

  #later(after = 500) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#write(), after);
  }

  #changed() {
    this.edits += 1;
    this.#keep();
    this.#later();
  }

  #keep() {
    this.unsaved = true;
    keepDraft(DRAFT, this.area.value);
  }

  #saved() {
    clearTimeout(this.timer);
    this.unsaved = false;
    keepDraft(DRAFT, null);
    if (this.failure) this.failure = unsay(this.failure);
  }

  /** Requests that save the text, one after another; false when it was not saved. */
  #save(verb) {
    const save = async () => {
      if (verb === "write" && (!this.unsaved || this.writing)) return;
      clearTimeout(this.timer);
      const { edits } = this;
      try {
        await post(`/notebook/${verb}`, { author: this.author, text: this.area.value });
        if (edits === this.edits) this.#saved();
      } catch (error) {
        if (!(error instanceof Trouble)) throw error;
        // That the text cannot be saved is said once, however often it is tried.
        if (verb !== "write" || this.failure !== error.message) toast(error.message, { error: true, detail: error.detail });
        if (this.failure !== error.message) unsay(this.failure);
        this.failure = verb === "write" ? error.message : null;
        // Another page's reply is being written: that is the text now.
        if (this.writing) return false;
        this.#keep();
        this.#later(AGAIN);
        return false;
      }
    };
    return (this.saving = this.saving.then(save, save));
  }

  async #write() {
    if (!this.unsaved || this.writing) return;
    const answer = await this.#save("write");
    this.count();
    return answer;
  }

  async #after(run) {
    if ((await this.#write()) !== false) await run();
  }

  generate() {
    // The text grows from here: left in mid-request, what comes back is not the draft.
    keepDraft(DRAFT, null);
    return this.#save("generate");
  }

  async count() {
    const text = this.area.value;
    const answer = text ? await post("/notebook/count", { text }).catch(() => null) : { tokens: 0 };
    if (text !== this.area.value) return;
    const words = text.trim() ? text.trim().split(/\s+/).length : 0;
    const tokens = answer && answer.tokens !== null ? `${many(answer.tokens, "token")} · ` : "";
    this.figures.textContent = `${tokens}${many(words, "word")}`;
  }

  /** What changed besides growth; see notebook.py. */
  text(facts) {
    this.writing = facts.writing;
    if (facts.writing) this.#saved();
    else if (this.draft !== null && !this.unsaved) {
      this.area.value = this.draft;
      this.#changed();
    }
    this.draft = null;
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
    this.figures.textContent = many(tokens, "new token");
    if (near) this.area.scrollTop = this.area.scrollHeight;
  }
}
