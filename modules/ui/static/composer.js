// Where a person writes. Enter sends, Shift+Enter breaks the line, Esc stops. The draft outlives a reload.

import { arrival, h, post, sayAway, toast } from "./dom.js";
import { keepDraft } from "./drafts.js";
import { type } from "./view_state.js";

const DRAFT = "paddock.draft.";
// From this length on, the tokens of a message are counted; beyond the other, they are guessed.
const LONG = 1500;
const LONGEST = 400_000;

export class Composer {
  /** `send(text)` resolves to false when the text was not taken: it is then put back. */
  constructor({ send, stop }) {
    this.send = send;
    this.stop = stop;
    this.place = { chat: "" };
    this.writing = false;
    // Tokens that the loaded model takes; 0 while none is loaded.
    this.context = 0;
    this.note = h("p", { id: "composer-note", role: "status", hidden: true });
  }

  async attach() {
    this.area = await arrival("#chat-input textarea");
    this.area.setAttribute("aria-label", "Your message");
    this.area.setAttribute("enterkeyhint", "send");
    this.area.setAttribute("dir", "auto");
    this.sendButton = await arrival("#send");
    this.stopButton = await arrival("#stop");
    this.area.closest("#composer").before(this.note);
    // Before Gradio's own handlers, which know other keys.
    addEventListener("keydown", (event) => this.#key(event), { capture: true });
    this.area.addEventListener("input", () => this.#changed());
    this.sendButton.addEventListener("click", () => this.submit());
    // What scripts of text-generation-webui press, and put things beside.
    (await arrival("#Generate")).addEventListener("click", () => this.sendButton.click());
    this.stopButton.addEventListener("click", () => this.stop());
    this.fill(this.area.value || localStorage.getItem(DRAFT) || "");
  }

  #key(event) {
    if (event.target === this.area && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      event.stopImmediatePropagation();
      this.submit();
    } else if (event.key === "Escape" && this.writing && !event.target.closest?.(".edit-form, .chat-title, dialog")) this.stop();
  }

  #changed() {
    keepDraft(DRAFT + this.place.chat, this.area.value || null);
    this.sendButton.disabled = !this.area.value.trim();
    this.#weigh();
  }

  /** The model is another one, or none. */
  fits(context) {
    if (context === this.context) return;
    this.context = context;
    this.#weigh();
  }

  /** Say how long a long message is, and whether it fits, before it is sent. */
  #weigh() {
    clearTimeout(this.weighing);
    const text = this.area.value;
    if (text.length < LONG || !this.context) this.note.hidden = true;
    else this.weighing = setTimeout(() => this.#count(text), 400);
  }

  async #count(text) {
    const answer = text.length > LONGEST ? { tokens: Math.round(text.length / 4) } : await post("/notebook/count", { text }).catch(() => ({ tokens: null }));
    if (text !== this.area.value || answer.tokens === null) return;
    const tokens = answer.tokens.toLocaleString();
    const tooLong = answer.tokens >= this.context;
    this.note.classList.toggle("warning", tooLong);
    this.note.textContent = tooLong
      ? `This message has about ${tokens} tokens. The model takes ${this.context.toLocaleString()}, its reply included: a part of the message would be left out. Shorten it, or raise Context length on the Model tab.`
      : `${tokens} tokens of ${this.context.toLocaleString()}`;
    this.note.hidden = false;
  }

  fill(text) {
    type(this.area, text);
  }

  /** This chat's draft comes back. */
  show(chat) {
    if (chat !== this.place.chat) {
      this.place = { chat };
      this.fill(localStorage.getItem(DRAFT + chat) || "");
    }
    this.focus();
  }

  /** Where nothing else has the focus. A touch screen's keyboard would cover half of the chat. */
  focus() {
    if (matchMedia("(hover: hover)").matches) this.area.focus();
  }

  writes(writing) {
    this.writing = writing;
    this.sendButton.hidden = writing;
    this.stopButton.hidden = !writing;
  }

  /** The chat that is written in has got a name: what has been typed since goes on there. */
  moves(chat) {
    keepDraft(DRAFT + this.place.chat, null);
    this.place.chat = chat;
    this.#changed();
  }

  async submit() {
    const text = this.area.value;
    // A short reply may be over before its request is answered, and the next message written.
    await Promise.allSettled([this.sending]);
    // The reply that was being written has no end then.
    if (this.writing && document.body.classList.contains("offline")) sayAway();
    else if (text.trim() && this.writing) toast("A reply is being written. Your message stays here: send it when the reply ends, or press Stop.");
    if (!text.trim() || this.writing || this.area.value !== text) return;
    this.sending = this.#submit(text);
  }

  async #submit(text) {
    const { place } = this;
    this.fill("");
    if ((await this.send(text)) !== false || this.area.value) return;
    if (this.place.chat === place.chat) this.fill(text);
    else keepDraft(DRAFT + place.chat, text);
  }
}
