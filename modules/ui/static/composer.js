// The field for a new message. Enter sends, Shift+Enter breaks the line, Esc stops. A reload keeps the draft.

import { Attachments } from "./attachments.js";
import { h, whenPresent } from "./dom.js";
import { saveDraft } from "./drafts.js";
import { typeInto } from "./gradio_internals/form_fields.js";
import { KnowledgePanel } from "./knowledge/panel.js";
import { PromptCompletion } from "./order/prompt_completion.js";
import { post } from "./requests.js";
import { showDisconnected, toast } from "./toasts.js";
import { ToolsPanel } from "./tools_panel.js";
import { Dictation } from "./voice/dictation.js";

const DRAFT = "paddock.draft.";
// The host counts the tokens of a message of at least so many characters.
const COUNTED_CHARACTERS = 1500;
// The tokens of a longer message are estimated here.
const ESTIMATED_CHARACTERS = 400_000;

export class Composer {
  /** `send(text, files)` resolves to false if the message was not sent: it then comes back into the field. */
  constructor({ send, stop, openExtensions }) {
    this.send = send;
    this.stop = stop;
    this.target = { chat: "" };
    this.writing = false;
    // Context length of the loaded model in tokens; 0 while none is loaded.
    this.context = 0;
    this.note = h("p", { id: "composer-note", class: "composer-note", role: "status", hidden: true });
    const changed = () => this.area && this.#updateButton();
    this.attachments = new Attachments({ changed, insert: (text) => this.insert(text) });
    const insert = (text, chat) => this.insertWords(text, chat);
    this.dictation = new Dictation({ target: () => this.target, insert, openExtensions });
  }

  async attach() {
    this.area = await whenPresent("#chat-input textarea");
    this.area.setAttribute("aria-label", "Your message");
    this.area.setAttribute("enterkeyhint", "send");
    this.area.setAttribute("dir", "auto");
    this.sendButton = await whenPresent("#send");
    this.stopButton = await whenPresent("#stop");
    this.tools = new ToolsPanel();
    this.tools.button.after(this.dictation.button);
    this.knowledge = new KnowledgePanel();
    this.area.closest("#composer").before(this.note);
    this.attachments.attach(this.area);
    this.prompts = new PromptCompletion(this.area, (text) => this.fill(text));
    // Runs before Gradio's own handlers, which give these keys other meanings.
    addEventListener("keydown", (event) => this.#key(event), { capture: true });
    this.area.addEventListener("input", () => this.#changed());
    this.sendButton.addEventListener("click", () => this.submit());
    // Scripts of text-generation-webui press this button, and put elements beside it.
    (await whenPresent("#Generate")).addEventListener("click", () => this.sendButton.click());
    this.stopButton.addEventListener("click", () => this.stop());
    this.fill(this.area.value || localStorage.getItem(DRAFT) || "");
  }

  #key(event) {
    if (event.target === this.area && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      event.stopImmediatePropagation();
      this.submit();
    } else if (event.key === "Escape" && this.writing && !event.target.closest?.(".edit-form, .chat-title, dialog"))
      this.stop();
  }

  #changed() {
    saveDraft(DRAFT + this.target.chat, this.area.value || null);
    this.#updateButton();
    this.#updateCount();
  }

  #updateButton() {
    this.sendButton.disabled = !this.area.value.trim() && !this.attachments.current.length;
  }

  /** Set the model's state: the context length of the loaded model in tokens, or 0, and whether it sees and hears. */
  setModel(state) {
    const ready = state.phase === "ready";
    const context = ready ? state.context : 0;
    const taken = { sees: ready && state.sees, hears: (ready && state.hears) || [] };
    this.attachments.setModel({ ready, name: state.model, ...taken, context });
    if (context === this.context) return;
    this.context = context;
    this.#updateCount();
  }

  /** Show how many tokens a long message has, and whether it fits, before it is sent. */
  #updateCount() {
    clearTimeout(this.countTimer);
    const text = this.area.value;
    if (text.length < COUNTED_CHARACTERS || !this.context) this.note.hidden = true;
    else this.countTimer = setTimeout(() => this.#count(text), 400);
  }

  async #count(text) {
    const tokens = text.length > ESTIMATED_CHARACTERS ? Math.round(text.length / 4) : await countTokens(text);
    if (text !== this.area.value || tokens === null) return;
    const [count, context] = [tokens.toLocaleString(), this.context.toLocaleString()];
    const tooLong = tokens >= this.context;
    this.note.classList.toggle("warning", tooLong);
    this.note.textContent = tooLong
      ? `This message has about ${count} tokens, but the model's context has ${context}, the reply included. Part of ` +
        "the message would be left out. Shorten it, or raise Context length on the Model tab."
      : `${count} of ${context} tokens`;
    this.note.hidden = false;
  }

  fill(text) {
    typeInto(this.area, text);
  }

  /** Put a text where the cursor is. */
  insert(text) {
    const { value, selectionStart, selectionEnd } = this.area;
    this.fill(value.slice(0, selectionStart) + text + value.slice(selectionEnd));
    this.focus();
  }

  /** Put words where the cursor is, apart from the words around them; for another chat, at the end of its draft. */
  insertWords(text, chat = this.target.chat) {
    if (chat !== this.target.chat) {
      const draft = localStorage.getItem(DRAFT + chat);
      return saveDraft(DRAFT + chat, [draft, text].filter(Boolean).join(" "));
    }
    const { value, selectionStart, selectionEnd } = this.area;
    const before = /\S$/.test(value.slice(0, selectionStart)) ? " " : "";
    const after = /^\S/.test(value.slice(selectionEnd)) ? " " : "";
    this.insert(before + text + after);
  }

  /** Write to this chat from now on, and show its draft. */
  openChat(chat) {
    if (chat !== this.target.chat) {
      this.target = { chat };
      this.fill(localStorage.getItem(DRAFT + chat) || "");
    }
    this.attachments.open(chat);
    this.tools.openChat(chat);
    this.knowledge.openChat(chat);
    this.focus();
  }

  /** Focus the field. Not on a touch screen, where the keyboard would cover half of the chat. */
  focus() {
    if (matchMedia("(hover: hover)").matches) this.area.focus();
  }

  /** Show Stop while a reply is being written, else Send. */
  setWriting(writing) {
    this.writing = writing;
    this.sendButton.hidden = writing;
    this.stopButton.hidden = !writing;
  }

  /** The chat that is written to has been created: keep what was typed since under its id. */
  moveDraftTo(chat) {
    saveDraft(DRAFT + this.target.chat, null);
    this.target.chat = chat;
    this.attachments.moveTo(chat);
    this.#changed();
  }

  async submit() {
    const text = this.area.value;
    // A short reply may be complete, and the next message typed, before its request is answered.
    await Promise.allSettled([this.sending]);
    // While the host does not answer, the reply never ends.
    if (this.writing && document.body.classList.contains("offline")) showDisconnected();
    else if (!this.sendButton.disabled && this.writing)
      toast("A reply is being written. Send your message when it is complete, or press Stop first.");
    if (this.sendButton.disabled || this.writing || this.area.value !== text) return;
    if (this.attachments.busy) return toast("A file is still being read. Send your message when that is done.");
    this.sending = this.#submit(text);
  }

  async #submit(text) {
    const { target } = this;
    const files = this.attachments.take();
    this.fill("");
    if ((await this.send(text, files)) !== false) return;
    if (files.length) this.attachments.restore(target.chat, files);
    this.#restore(target.chat, text);
  }

  /** Put a text that was not sent back into its chat's field, before what was typed since. */
  #restore(chat, text) {
    const isOpen = this.target.chat === chat;
    const since = isOpen ? this.area.value : localStorage.getItem(DRAFT + chat);
    const whole = [text, since].filter(Boolean).join("\n\n");
    if (isOpen) this.fill(whole);
    else saveDraft(DRAFT + chat, whole || null);
  }
}

/** Return the number of tokens, or null if the host cannot count them now. */
async function countTokens(text) {
  const answer = await post("/notebook/count", { text }).catch(() => null);
  return answer && answer.tokens;
}
