// Where a person writes. Enter sends, Shift+Enter breaks the line, Esc stops. The draft outlives a reload.

import { arrival, sayAway } from "./dom.js";
import { keepDraft } from "./drafts.js";

const DRAFT = "paddock.draft.";

export class Composer {
  /** `send(text)` resolves to false when the text was not taken: it is then put back. */
  constructor({ send, stop }) {
    this.send = send;
    this.stop = stop;
    this.place = { chat: "" };
    this.writing = false;
  }

  async attach() {
    this.area = await arrival("#chat-input textarea");
    this.area.setAttribute("aria-label", "Your message");
    this.area.setAttribute("enterkeyhint", "send");
    this.area.setAttribute("dir", "auto");
    this.sendButton = await arrival("#send");
    this.stopButton = await arrival("#stop");
    // Before Gradio's own handlers, which know other keys.
    addEventListener("keydown", (event) => this.#key(event), { capture: true });
    this.area.addEventListener("input", () => this.#changed());
    this.sendButton.addEventListener("click", () => this.submit());
    // What scripts of text-generation-webui press, and put things beside.
    (await arrival("#Generate")).addEventListener("click", () => this.sendButton.click());
    this.stopButton.addEventListener("click", () => this.stop());
    this.fill(this.area.value || localStorage.getItem(DRAFT) || "");
    this.area.focus();
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
  }

  /** Put text into Gradio's field the way typing does. */
  fill(text) {
    const setter = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set;
    setter.call(this.area, text);
    this.area.dispatchEvent(new Event("input", { bubbles: true }));
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
