// Lets the model write the user's next message into the composer.

import { $, h } from "../dom.js";
import { icon } from "../icons.js";
import { address } from "../requests.js";
import { showDisconnected, toast } from "../toasts.js";

const WRITE = "Let the model write your message";
const STOP = "Stop writing your message";

export class Impersonation {
  /** `composer`: where the text goes; `current()` returns the id of the open chat. */
  constructor({ composer, current }) {
    this.composer = composer;
    this.current = current;
    this.button = h("button", { type: "button", class: "round", id: "impersonate", hidden: true }, icon("quill"));
    this.button.addEventListener("click", () => (this.running ? this.running.abort() : this.write()));
    this.#mark(false);
    $("#send").before(this.button);
  }

  /** Show the button where the chat has a character. */
  show(shown) {
    this.button.hidden = !shown;
    if (!shown) this.running?.abort();
  }

  #mark(writing) {
    this.button.setAttribute("aria-label", writing ? STOP : WRITE);
    this.button.title = writing ? STOP : WRITE;
    this.button.classList.toggle("some", writing);
  }

  async write() {
    const chat = this.current();
    const before = this.composer.area.value;
    const running = new AbortController();
    this.running = running;
    this.#mark(true);
    try {
      await this.#stream(chat, before, running.signal);
    } catch (error) {
      // What `fetch` throws where no host answers is not for people.
      if (error instanceof TypeError) showDisconnected();
      else if (error.name !== "AbortError") toast(error.message, { error: true });
    } finally {
      // If the person went on, the model would still write.
      running.abort();
      this.running = null;
      this.#mark(false);
      if (this.current() === chat) this.composer.focus();
    }
  }

  async #stream(chat, before, signal) {
    const path = address(`/chats/${encodeURIComponent(chat)}/impersonate`);
    const response = await fetch(path, { method: "POST", signal });
    if (!response.ok) {
      const answer = await response.json().catch(() => ({}));
      throw new Error(answer.error?.message ?? answer.error ?? "The model could not write. Try again.");
    }
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let text = before ? `${before.trimEnd()} ` : "";
    let shown = before;
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.current() !== chat) break;
      // The person has typed, or sent the message: what is in the field now is theirs.
      if (this.composer.area.value !== shown) break;
      text += decoder.decode(value, { stream: true });
      this.composer.fill(text);
      shown = this.composer.area.value;
    }
  }
}
