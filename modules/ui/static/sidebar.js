// The list of chats: grouped by day, with search, rename, and delete with undo.

import { $, $$, h, iconButton } from "./dom.js";
import { attempt, get, post } from "./requests.js";
import { toast } from "./toasts.js";

const DAY = 86400;

function group(seconds) {
  const midnight = new Date().setHours(0, 0, 0, 0) / 1000;
  if (seconds >= midnight) return "Today";
  if (seconds >= midnight - DAY) return "Yesterday";
  if (seconds >= midnight - 7 * DAY) return "This week";
  return new Date(seconds * 1000).toLocaleDateString(undefined, { month: "long", year: "numeric" });
}

export class Sidebar {
  /** `open(id)` shows a chat, `current()` returns the id of the one that is shown, `create()` begins a new one. */
  constructor({ open, current, create }) {
    this.open = open;
    this.current = current;
    this.create = create;
    this.chats = [];
    this.requests = 0;
    this.list = $("#chat-list");
    this.search = $("#chat-search");
    $("#new-chat").addEventListener("click", () => create());
    this.search.addEventListener("input", () => {
      // Ignore an answer to the former search.
      this.requests++;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.refresh(), 180);
    });
  }

  async refresh() {
    const request = ++this.requests;
    const chats = await get(`/chats?search=${encodeURIComponent(this.search.value.trim())}`).catch(() => null);
    // A later request, or the host's event, is newer than this answer.
    if (!chats || request !== this.requests) return chats || this.chats;
    this.chats = chats;
    this.draw();
    return chats;
  }

  /** The host sent a new list. */
  setChats(chats) {
    if (this.search.value.trim()) return this.refresh();
    this.requests++;
    this.chats = chats;
    this.draw();
  }

  draw() {
    // A title is being edited.
    if ($(".chat-title", this.list)) return;
    const rows = [];
    let heading = "";
    for (const chat of this.chats) {
      const name = group(chat.updated);
      if (name !== heading) rows.push(h("h3", {}, (heading = name)));
      rows.push(this.#row(chat));
    }
    if (!rows.length)
      rows.push(
        h("p", { class: "quiet" }, this.search.value ? "No matching chats." : "Your chats will be listed here."),
      );
    const focus = this.#focus();
    this.list.replaceChildren(...rows);
    if (focus) this.#refocus(focus);
  }

  /** Return which button of which row has the focus. */
  #focus() {
    const button = document.activeElement?.closest("#chat-list .chat-row button");
    const row = button?.parentElement;
    return (
      row && {
        chat: row.dataset.chat,
        button: [...row.children].indexOf(button),
        index: $$(".chat-row", this.list).indexOf(row),
      }
    );
  }

  /** Focus the same button in the new list, or the chat in the same position if that chat is gone. */
  #refocus({ chat, button, index }) {
    const rows = $$(".chat-row", this.list);
    const row = rows.find((one) => one.dataset.chat === chat);
    const next = row ? row.children[button] : (rows[index] ?? rows.at(-1))?.firstElementChild;
    (next ?? $("#new-chat")).focus({ preventScroll: true });
  }

  retitle(id, title) {
    const chat = this.chats.find((one) => one.id === id);
    if (!chat || chat.title === title) return Boolean(chat);
    chat.title = title;
    this.draw();
    return true;
  }

  #row(chat) {
    const current = chat.id === this.current();
    return h(
      "div",
      { class: current ? "chat-row current" : "chat-row", "data-chat": chat.id },
      h(
        "button",
        {
          type: "button",
          class: "chat-open",
          dir: "auto",
          "aria-current": current ? "true" : false,
          title: chat.title,
          onclick: () => this.open(chat.id),
          ondblclick: () => this.rename(chat),
        },
        chat.title,
      ),
      iconButton("edit", `Rename ${chat.title}`, () => this.rename(chat)),
      iconButton("trash", `Delete ${chat.title}`, () => this.remove(chat)),
    );
  }

  rename(chat) {
    const row = $(`[data-chat="${CSS.escape(chat.id)}"]`, this.list);
    const field = h("input", { class: "chat-title", dir: "auto", "aria-label": "Title of the chat", maxlength: "200" });
    field.value = chat.title;
    let ended = false;
    const end = async (keep) => {
      if (ended) return;
      ended = true;
      const title = field.value.trim();
      if (
        keep &&
        title &&
        title !== chat.title &&
        (await attempt(() => post(`/chats/${chat.id}/rename`, { title }))) !== false
      )
        chat.title = title;
      const inside = document.activeElement === field;
      field.remove();
      this.draw();
      if (inside) this.#refocus({ chat: chat.id, button: 1, index: 0 });
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) end(true);
      if (event.key === "Escape") end(false);
    });
    field.addEventListener("blur", () => end(true));
    row.replaceChildren(field);
    field.select();
  }

  async remove(chat) {
    // The host sends the new list to all pages, this one too. main.js must not take the chat for lost.
    this.removing = chat.id;
    if ((await attempt(() => post(`/chats/${chat.id}/trash`))) === false) return (this.removing = null);
    const rest = await this.refresh();
    if (chat.id === this.current()) rest.length ? this.open(rest[0].id) : this.create();
    this.removing = null;
    const run = () =>
      attempt(async () => (await post(`/chats/${chat.id}/restore`), await this.refresh(), this.open(chat.id)));
    toast(`Deleted “${chat.title}”.`, { action: { label: "Undo", run } });
  }
}
