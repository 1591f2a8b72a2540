// Where a person writes. Enter sends, Shift+Enter breaks the line, Esc stops. The draft outlives a reload.

import { $, arrival } from "./dom.js";

const DRAFT = "paddock.draft.";

export class Composer {
  /** `send(text)` resolves to false when the text was not taken: it is then put back. */
  constructor({ send, stop }) {
    this.send = send;
    this.stop = stop;
    this.chat = "";
    this.writing = false;
  }

  async attach() {
    this.area = await arrival("#chat-input textarea");
    this.area.setAttribute("aria-label", "Your message");
    this.area.setAttribute("enterkeyhint", "send");
    this.sendButton = await arrival("#send");
    this.stopButton = await arrival("#stop");
    // Before Gradio's own handlers, which know other keys.
    addEventListener("keydown", (event) => this.#key(event), { capture: true });
    this.area.addEventListener("input", () => this.#changed());
    this.sendButton.addEventListener("click", () => this.submit());
    this.stopButton.addEventListener("click", () => this.stop());
    this.area.focus();
  }

  #key(event) {
    if (event.target === this.area && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      event.stopImmediatePropagation();
      this.submit();
    } else if (event.key === "Escape" && this.writing && !event.target.closest?.(".edit-form, dialog")) this.stop();
  }

  #changed() {
    try {
      if (this.area.value) localStorage.setItem(DRAFT + this.chat, this.area.value);
      else localStorage.removeItem(DRAFT + this.chat);
    } catch {
      // Storage may be off or full: then only the draft's memory is lost.
    }
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
    this.chat = chat;
    this.fill(localStorage.getItem(DRAFT + chat) || "");
    if (matchMedia("(hover: hover)").matches) this.area.focus();
  }

  writes(writing) {
    this.writing = writing;
    this.sendButton.hidden = writing;
    this.stopButton.hidden = !writing;
  }

  async submit() {
    const text = this.area.value;
    if (!text.trim() || this.writing || this.sending) return;
    this.sending = true;
    const chat = this.chat;
    this.fill("");
    const taken = await this.send(text);
    this.sending = false;
    if (taken === false && !$("#chat-input textarea").value) {
      if (this.chat === chat) this.fill(text);
      else localStorage.setItem(DRAFT + chat, text);
    }
  }
}
