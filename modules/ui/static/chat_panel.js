// The panel "This chat": what holds for the open chat alone. Each feature adds its own section.

import { $, h, iconButton } from "./dom.js";
import { attempt, get, inOrder, post, turns } from "./requests.js";

/** @type {{title: string, render: (body: HTMLElement, chat: any) => void, order: number}[]} */
const sections = [];

/**
 * Add a section to the panel, at the start of the page. Sections with a lower `order` come first.
 *
 * `render(body, chat)` fills the empty element `body` each time the panel is opened. `chat`: {id ("" for a new chat),
 * title, settings, folder (null, or {id, name, settings}), choices, inherited, change(changes), write(verb, body)}.
 * `await chat.change({name: value})` stores settings, null removes one; it returns false if that failed, and the page
 * has shown why. It creates a new chat where there is none. `chat.settings` has the changed values then.
 */
export function addChatSection(title, render, { order = 50 } = {}) {
  sections.push({ title, render, order });
  sections.sort((one, other) => one.order - other.order);
}

export class ChatPanel {
  /** `current()` returns the id of the open chat, "" for a new one; `create()` creates that and resolves to its id. */
  constructor({ current, create }) {
    this.current = current;
    this.create = create;
    this.turn = turns();
    this.inOrder = inOrder();
    this.button = $("#open-chat-panel");
    this.body = h("div", { class: "chat-panel-sections" });
    const close = iconButton("close", "Close", () => this.dialog.close());
    const head = h("div", { class: "window-head" }, h("h2", { id: "chat-panel-heading" }, "This chat"), close);
    this.dialog = h("dialog", { id: "chat-panel", class: "sheet", "aria-labelledby": "chat-panel-heading" });
    this.dialog.append(head, this.body);
    document.body.append(this.dialog);
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.button.addEventListener("click", () => this.open());
  }

  async open() {
    if ((await this.refresh()) && !$("dialog:modal")) this.dialog.showModal();
  }

  /** Another chat was opened. */
  close() {
    this.dialog.close();
  }

  /** Read the settings of the open chat, and draw all sections. */
  async refresh() {
    const id = this.current();
    const isLatest = this.turn();
    const facts = await attempt(() => get(`/chats/${encodeURIComponent(id || "new")}/settings`));
    if (!facts || id !== this.current() || !isLatest()) return false;
    const chat = { ...facts, id };
    chat.change = (changes) => this.#change(chat, changes);
    chat.write = (verb, body) => this.#write(chat, verb, body);
    this.body.replaceChildren(...sections.map(({ title, render }) => drawSection(title, render, chat)));
    return true;
  }

  /** Post to a route below the chat's address, after the changes before it. */
  #write(chat, verb, body) {
    return this.inOrder(() => this.#writeNow(chat, verb, body));
  }

  /** The chat is created first where it is a new one. */
  async #writeNow(chat, verb, body) {
    if (!chat.id) {
      // A change of a moment ago may have created it, and the window may have been drawn before that.
      const id = this.current() || (await this.create());
      if (!id) return false;
      chat.id = id;
    }
    return attempt(() => post(`/chats/${encodeURIComponent(chat.id)}/${verb}`, body));
  }

  async #change(chat, changes) {
    const answer = await this.#write(chat, "settings", { changes });
    if (answer === false) return false;
    Object.assign(chat.settings, answer.settings);
    for (const name of Object.keys(chat.settings)) if (!(name in answer.settings)) delete chat.settings[name];
    return true;
  }
}

function drawSection(title, render, chat) {
  const body = h("div", { class: "chat-section-body" });
  render(body, chat);
  return h("fieldset", { class: "chat-section" }, h("legend", {}, title), body);
}
