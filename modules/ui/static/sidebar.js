// The list of past chats: grouped by day, searched, renamed, deleted with a way back.

import { $, attempt, get, h, iconButton, post, toast } from "./dom.js";

const DAY = 86400;

function group(seconds) {
  const midnight = new Date().setHours(0, 0, 0, 0) / 1000;
  if (seconds >= midnight) return "Today";
  if (seconds >= midnight - DAY) return "Yesterday";
  if (seconds >= midnight - 7 * DAY) return "This week";
  return new Date(seconds * 1000).toLocaleDateString(undefined, { month: "long", year: "numeric" });
}

export class Sidebar {
  /** `open(id)` shows a chat; `opened()` is the one that is shown; `create()` begins one. */
  constructor({ open, opened, create }) {
    Object.assign(this, { open, opened, create, chats: [], asked: 0 });
    this.list = $("#chat-list");
    this.search = $("#chat-search");
    $("#new-chat").addEventListener("click", () => create());
    this.search.addEventListener("input", () => {
      // An answer under way is to other words.
      this.asked++;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.refresh(), 180);
    });
  }

  async refresh() {
    const asked = ++this.asked;
    const chats = await get(`/chats?search=${encodeURIComponent(this.search.value.trim())}`).catch(() => null);
    // A later question's answer, or the host's own word, is newer.
    if (!chats || asked !== this.asked) return chats || this.chats;
    this.chats = chats;
    this.draw();
    return chats;
  }

  /** The host says that the list changed. */
  changed(chats) {
    if (this.search.value.trim()) return this.refresh();
    this.asked++;
    this.chats = chats;
    this.draw();
  }

  draw() {
    // Somebody is writing a title.
    if ($(".chat-title", this.list)) return;
    const rows = [];
    let heading = "";
    for (const chat of this.chats) {
      const name = group(chat.updated);
      if (name !== heading) rows.push(h("h3", {}, (heading = name)));
      rows.push(this.#row(chat));
    }
    if (!rows.length) rows.push(h("p", { class: "quiet" }, this.search.value ? "No chat holds these words." : "Your chats will be listed here."));
    const focus = this.#focus();
    this.list.replaceChildren(...rows);
    if (focus) this.#refocus(focus);
  }

  /** Which button of which row has the focus. */
  #focus() {
    const button = document.activeElement?.closest("#chat-list .chat-row button");
    const row = button?.parentElement;
    return row && { chat: row.dataset.chat, button: [...row.children].indexOf(button), place: [...this.list.querySelectorAll(".chat-row")].indexOf(row) };
  }

  /** The list that was drawn anew keeps the focus: on the same button, or on the chat in the place of one that is gone. */
  #refocus({ chat, button, place }) {
    const rows = [...this.list.querySelectorAll(".chat-row")];
    const row = rows.find((one) => one.dataset.chat === chat);
    const next = row ? row.children[button] : (rows[place] ?? rows.at(-1))?.firstElementChild;
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
    const current = chat.id === this.opened();
    return h("div", { class: current ? "chat-row current" : "chat-row", "data-chat": chat.id },
      h("button", { type: "button", class: "chat-open", dir: "auto", "aria-current": current ? "true" : false, title: chat.title, onclick: () => this.open(chat.id), ondblclick: () => this.rename(chat) }, chat.title),
      iconButton("edit", `Rename ${chat.title}`, () => this.rename(chat)),
      iconButton("trash", `Delete ${chat.title}`, () => this.remove(chat)));
  }

  rename(chat) {
    const row = $(`[data-chat="${CSS.escape(chat.id)}"]`, this.list);
    const field = h("input", { class: "chat-title", dir: "auto", "aria-label": "The chat's title", maxlength: "200" });
    field.value = chat.title;
    let over = false;
    const end = async (keep) => {
      if (over) return;
      over = true;
      const title = field.value.trim();
      if (keep && title && title !== chat.title && (await attempt(() => post(`/chats/${chat.id}/rename`, { title }))) !== false) chat.title = title;
      const inside = document.activeElement === field;
      field.remove();
      this.draw();
      if (inside) this.#refocus({ chat: chat.id, button: 1, place: 0 });
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
    // The host tells all pages, this one too; what follows here is said here.
    this.removing = chat.id;
    if ((await attempt(() => post(`/chats/${chat.id}/trash`))) === false) return (this.removing = null);
    const rest = await this.refresh();
    if (chat.id === this.opened()) rest.length ? this.open(rest[0].id) : this.create();
    this.removing = null;
    const run = () => attempt(async () => (await post(`/chats/${chat.id}/restore`), await this.refresh(), this.open(chat.id)));
    toast(`Deleted “${chat.title}”.`, { action: { label: "Undo", run } });
  }
}
