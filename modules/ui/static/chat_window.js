// A window of what a chat may use, opened by a button of the composer. Its entries are switched on and off, and it is
// read again while the host works on them.

import { $, h, iconButton } from "./dom.js";
import { attempt, get, inOrder, post, turns } from "./requests.js";

export class ChatWindow {
  /**
   * `name`: that of its routes, of its button `#open-name` and of its dialog `#name-panel`; `pause`: milliseconds until
   * it is read again. A subclass has `parts`, which are shown below the heading, and the methods at the end.
   */
  constructor(name, title, pause) {
    this.name = name;
    this.title = title;
    this.pause = pause;
    // The id of the open chat, or "" for a new one.
    this.chat = "";
    // The host still works on what is shown.
    this.busy = false;
    // Switches may show what the person chose, in place of what the host has.
    this.changed = false;
    this.turn = turns();
    this.inOrder = inOrder();
    this.button = $(`#open-${name}`);
    this.scope = h("p", { class: "quiet" });
    const close = iconButton("close", "Close", () => this.dialog.close());
    const head = h("div", { class: "window-head" }, h("h2", { id: `${name}-heading` }, title), close);
    const attributes = { id: `${name}-panel`, class: "window", "aria-labelledby": `${name}-heading` };
    this.dialog = h("dialog", attributes, head, this.scope);
    document.body.append(this.dialog);
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.button.addEventListener("click", () => this.open());
  }

  /** Show what this chat has from now on; with an empty id, what new chats have. */
  openChat(chat) {
    this.chat = chat;
    this.dialog.close();
    this.#count();
  }

  /** Show how many are on. For that, the host need not start or read anything. */
  async #count() {
    const { chat } = this;
    const answer = await attempt(() => get(`/${this.name}/on?chat=${encodeURIComponent(chat)}`));
    if (answer && chat === this.chat) this.mark(answer.on);
  }

  /** Show on the button how many are on. */
  mark(on) {
    const count = Array.isArray(on) ? on.length : on;
    this.button.setAttribute("aria-label", this.labelOf(count));
    this.button.classList.toggle("some", count > 0);
  }

  /** Open the window once its list is there, unless the person opened another chat or window in the time between. */
  async open() {
    const shown = await this.refresh();
    if (shown && !$("dialog:modal")) this.dialog.showModal();
  }

  /** Read the list again. Resolve to true if it is shown. */
  refresh() {
    const isLatest = this.turn();
    // After the changes before it: an answer that does not know of them would take them back.
    return this.inOrder(() => this.#read(isLatest));
  }

  async #read(isLatest) {
    const { chat } = this;
    const found = await attempt(() => get(`/${this.name}?chat=${encodeURIComponent(chat)}`));
    if (chat !== this.chat || !isLatest()) return false;
    if (found) this.#show(found);
    // The host may answer again in a moment.
    else if (this.busy) this.#lookAgain();
    return Boolean(found);
  }

  #lookAgain() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.dialog.open && this.refresh(), this.pause);
  }

  /** Post a change, and show what the host has then. Resolve to its answer, or to false if that failed. */
  change(path, body) {
    const { chat } = this;
    const isLatest = this.turn();
    this.changed = true;
    return this.inOrder(async () => {
      const found = await attempt(() => post(`/${this.name}/${path}`, { chat, ...body }));
      this.answered(path, body, found);
      if (found && chat === this.chat && isLatest()) this.#show(found);
      else if (isLatest()) await this.#read(isLatest);
      return found;
    });
  }

  #show(found) {
    this.mark(found.on);
    clearTimeout(this.timer);
    this.busy = this.draw(found, this.changed);
    this.changed = false;
    if (this.busy) this.#lookAgain();
  }

  /** Return the label of the button while so many are on. */
  labelOf(_count) {
    return this.title;
  }

  /** The host answered a change with `found`, or with false. */
  answered(_path, _body, _found) {}

  /**
   * Draw what the host has. `changed`: switches may show what the person chose instead. Return true if the host still
   * works on it.
   */
  draw(_found, _changed) {
    return false;
  }
}
