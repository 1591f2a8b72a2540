// The Notebook: one text that the model continues. The host keeps it, so a reload or another page shows the same text.

import { $ } from "./dom.js";
import { saveDraft } from "./drafts.js";
import { NotebookList } from "./notebook/notebook_list.js";
import { TokenPanel } from "./notebook/token_panel.js";
import { RequestError, attempt, post } from "./requests.js";
import { removeToast, toast } from "./toasts.js";

const DRAFT = "paddock.notebook.draft";
// Milliseconds until a failed save is tried again.
const RETRY_MS = 4000;

const newAuthor = () => crypto.randomUUID?.() || String(Math.random());
const plural = (number, one) => `${number.toLocaleString()} ${one}${number === 1 ? "" : "s"}`;

export class Notebook {
  /** `follow()` is called when another notebook is shown: the page then follows the events at `eventsPath`. */
  constructor({ follow }) {
    this.follow = follow;
    this.list = new NotebookList({ leave: () => this.#write(), changed: () => this.#switched() });
    this.tokenPanel = new TokenPanel({ branch: (before, text) => this.#branch(before, text), name: () => this.name });
    this.author = newAuthor();
    this.area = $("#notebook-text");
    this.statistics = $("#notebook-count");
    this.buttons = Object.fromEntries(
      ["generate", "stop", "undo", "redo"].map((verb) => [verb, $(`#notebook-${verb}`)]),
    );
    this.area.addEventListener("input", () => this.#changed());
    this.area.addEventListener("blur", () => this.#write());
    for (const verb of ["stop", "undo", "redo"])
      this.buttons[verb].addEventListener("click", () => this.#afterSave(() => this.#post(verb)));
    this.buttons.generate.addEventListener("click", () => this.generate());
    addEventListener("keydown", (event) => {
      if (document.body.dataset.view !== "notebook") return;
      if (event.key === "Escape" && this.writing) this.#post("stop");
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target === this.area)
        (event.preventDefault(), this.generate());
    });
    this.tokens = 0;
    this.edits = 0;
    /** @type {Promise<any>} */
    this.saving = Promise.resolve();
    this.#wait();
    // A text that an earlier visit could not save. It is shown when the host's first event arrives.
    this.draft = localStorage.getItem(this.draftKey);
  }

  /** The notebook that is shown: its name, "" for the first one. */
  get name() {
    return this.list.current;
  }

  get eventsPath() {
    return `/notebook/events?notebook=${encodeURIComponent(this.name)}`;
  }

  get draftKey() {
    return this.name ? `${DRAFT}.${this.name}` : DRAFT;
  }

  /** Another notebook is shown from now on. */
  #switched() {
    clearTimeout(this.timer);
    this.unsaved = this.writing = false;
    // This page does not show the text that it may have written into that notebook before.
    this.author = newAuthor();
    this.area.value = "";
    this.draft = localStorage.getItem(this.draftKey);
    this.tokenPanel.clear();
    this.#wait();
    this.follow();
  }

  /** Until the host has sent the notebook, nothing is saved: what is typed before would replace that. */
  #wait() {
    this.waiting = true;
    this.area.readOnly = false;
    this.buttons.generate.disabled = this.buttons.undo.disabled = this.buttons.redo.disabled = true;
  }

  /** The host does not answer. What is typed until then is a draft. */
  offline() {
    if (this.waiting && this.unsaved) this.#saveDraft();
    this.waiting = false;
    this.area.readOnly = Boolean(this.writing);
  }

  /** Let the model continue from a place before: `before`, and then another token than it took. */
  async #branch(before, text) {
    this.area.value = before + text;
    this.#changed();
    await this.generate();
  }

  /** Focus the text. Not on a touch screen, where the keyboard would cover half of it. */
  focus() {
    if (matchMedia("(hover: hover)").matches) this.area.focus({ preventScroll: true });
  }

  #post(verb, body = {}) {
    return attempt(() => post(`/notebook/${verb}`, { notebook: this.name, author: this.author, ...body }));
  }

  #saveLater(after = 500) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#write(), after);
  }

  #changed() {
    this.edits += 1;
    this.unsaved = true;
    if (this.waiting) return;
    this.#saveDraft();
    this.#saveLater();
  }

  #saveDraft() {
    this.unsaved = true;
    saveDraft(this.draftKey, this.area.value);
  }

  #saved() {
    clearTimeout(this.timer);
    this.unsaved = false;
    saveDraft(this.draftKey, null);
    if (this.failure) this.failure = removeToast(this.failure);
  }

  /** Send a request that saves the text, after those before it. Resolve to false if the text was not saved. */
  #save(verb) {
    const save = async () => {
      if (this.waiting || (verb === "write" && (!this.unsaved || this.writing))) return;
      clearTimeout(this.timer);
      const { edits, author, name: notebook } = this;
      try {
        await post(`/notebook/${verb}`, { notebook, author, text: this.area.value, tokens: this.tokenPanel.on });
        if (edits === this.edits && notebook === this.name) this.#saved();
      } catch (error) {
        if (!(error instanceof RequestError)) throw error;
        // Show once that the text cannot be saved, however often it is tried.
        if (verb !== "write" || this.failure !== error.message)
          toast(error.message, { error: true, detail: error.detail });
        if (this.failure !== error.message) removeToast(this.failure);
        this.failure = verb === "write" ? error.message : null;
        // Another notebook is shown now, whose text may not have come yet.
        if (notebook !== this.name) return false;
        // The model is writing for another page: this page shows that text now.
        if (this.writing) return false;
        this.#saveDraft();
        this.#saveLater(RETRY_MS);
        return false;
      }
    };
    return (this.saving = this.saving.then(save, save));
  }

  async #write() {
    if (!this.unsaved || this.writing) return;
    if (this.waiting) return false;
    const answer = await this.#save("write");
    this.count();
    return answer;
  }

  /** Save the text, then run the action if that worked. */
  async #afterSave(run) {
    if ((await this.#write()) !== false) await run();
  }

  generate() {
    if (this.waiting) return;
    // The model continues the text. After a reload, the draft without that must not replace it.
    saveDraft(this.draftKey, null);
    return this.#save("generate");
  }

  async count() {
    const text = this.area.value;
    const answer = text ? await post("/notebook/count", { text }).catch(() => null) : { tokens: 0 };
    if (text !== this.area.value) return;
    const words = text.trim() ? text.trim().split(/\s+/).length : 0;
    const tokens = answer && answer.tokens !== null ? `${plural(answer.tokens, "token")} · ` : "";
    this.statistics.textContent = `${tokens}${plural(words, "word")}`;
  }

  /** Show what the host says about the text (`facts` in notebook.py). */
  update(facts) {
    this.writing = facts.writing;
    const early = this.waiting && this.unsaved ? this.area.value : null;
    this.waiting = false;
    if (facts.writing) this.#saved();
    else if (early !== null) {
      // What was typed before the text was here comes after it.
      this.area.value = (this.draft ?? facts.text) + early;
      this.#changed();
    } else if (this.draft !== null && !this.unsaved) {
      this.area.value = this.draft;
      this.#changed();
    }
    this.draft = null;
    const own = facts.author === this.author && !facts.writing;
    if (!own && !(this.unsaved && !facts.writing)) {
      const { selectionStart, selectionEnd } = this.area;
      if (this.area.value !== facts.text) {
        this.area.value = facts.text;
        this.area.setSelectionRange(
          Math.min(selectionStart, facts.text.length),
          Math.min(selectionEnd, facts.text.length),
        );
      }
    }
    this.area.readOnly = facts.writing;
    this.buttons.generate.disabled = false;
    this.buttons.generate.hidden = facts.writing;
    this.buttons.stop.hidden = !facts.writing;
    this.buttons.undo.disabled = facts.writing || !facts.undo;
    this.buttons.redo.disabled = facts.writing || !facts.redo;
    if (facts.error && facts.error.error !== this.shownError)
      toast(facts.error.error, { error: true, detail: facts.error.detail });
    this.shownError = facts.error?.error;
    this.tokenPanel.update(facts);
    if (!facts.writing) this.count();
  }

  /** Add what the model wrote since the last event. */
  append({ add, tokens }) {
    const near = this.area.scrollHeight - this.area.scrollTop - this.area.clientHeight < 80;
    this.area.value += add;
    this.statistics.textContent = plural(tokens, "new token");
    if (near) this.area.scrollTop = this.area.scrollHeight;
  }
}
