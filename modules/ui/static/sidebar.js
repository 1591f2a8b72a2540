// The list of chats: in groups, with search, rename, delete with undo, and several at once.

import { $, h, whenPresent } from "./dom.js";
import { openMenu } from "./menu.js";
import { listItems } from "./order/chat_menu.js";
import { listRows } from "./order/chat_groups.js";
import { selectionBar } from "./order/selection.js";
import { focusInRow, keepFocus } from "./redraw.js";
import { attempt, get, post } from "./requests.js";
import { toast } from "./toasts.js";

export class Sidebar {
  /** `open(id)` shows a chat, `current()` returns the id of the one that is shown, `create()` begins a new one. */
  constructor({ open, current, create }) {
    this.open = open;
    this.current = current;
    this.create = create;
    this.chats = [];
    this.folders = [];
    this.hits = [];
    this.answering = new Set();
    // The ids of selected chats, or null while none are being selected.
    this.selected = null;
    this.requests = 0;
    this.list = $("#chat-list");
    this.search = $("#chat-search");
    $("#new-chat").addEventListener("click", () => create());
    // A page that shows no chat hears nothing of the list from the host.
    addEventListener("paddock-chats-changed", () => this.refresh());
    const menu = $("#list-menu");
    menu.addEventListener("click", () => openMenu(menu, "Chats", listItems(this)));
    this.search.addEventListener("input", () => {
      // Ignore an answer to the former search.
      this.requests++;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.refresh(), 180);
    });
  }

  get searching() {
    return Boolean(this.search.value.trim());
  }

  async refresh() {
    const request = ++this.requests;
    const wanted = this.search.value.trim();
    const answer = await (
      wanted ? get(`/chats/search?search=${encodeURIComponent(wanted)}`) : Promise.all([get("/chats"), get("/folders")])
    ).catch(() => null);
    // A later request, or the host's event, is newer than this answer.
    if (!answer || request !== this.requests) return this.chats;
    if (wanted) [this.chats, this.hits] = [answer.chats, answer.hits];
    else [this.chats, this.folders] = answer;
    this.draw();
    return this.chats;
  }

  /** The host sent a new list. */
  setChats(chats) {
    if (this.searching) return this.refresh();
    this.requests++;
    this.chats = chats;
    this.draw();
  }

  setFolders(folders) {
    this.folders = folders;
    if (!this.searching) this.draw();
  }

  /** The host sent the ids of the chats that are being answered. */
  setAnswering(ids) {
    this.answering = new Set(ids);
    this.draw();
  }

  draw() {
    // A title is being edited.
    if ($(".chat-title", this.list)) return;
    const rows = listRows(this);
    if (!rows.length)
      rows.push(h("p", { class: "quiet" }, this.searching ? "No matching chats." : "Your chats will be listed here."));
    const around = this.list.parentElement;
    const show = () => {
      this.list.replaceChildren(...rows);
      $(".selection-bar", around)?.remove();
      if (this.selected) this.list.after(selectionBar(this));
    };
    keepFocus(around, show, $("#new-chat"));
  }

  retitle(id, title) {
    const chat = this.chats.find((one) => one.id === id);
    if (!chat || chat.title === title) return Boolean(chat);
    chat.title = chat.label = title;
    this.draw();
    return true;
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
        chat.title = chat.label = title;
      const inside = document.activeElement === field;
      field.remove();
      this.draw();
      if (inside) focusInRow(this.list, chat.id, 1);
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
    const rest = (await this.refresh()).filter((one) => !one.archived);
    if (chat.id === this.current()) rest.length ? this.open(rest[0].id) : this.create();
    this.removing = null;
    if (chat.temporary) return toast("This temporary chat is gone.");
    const run = () =>
      attempt(async () => (await post(`/chats/${chat.id}/restore`), await this.refresh(), this.open(chat.id)));
    toast(`Deleted “${chat.label}”.`, { action: { label: "Undo", run } });
  }

  /** Let the person select several chats, beginning with this one. */
  select(id = "") {
    this.selected = new Set(id ? [id] : []);
    this.draw();
    $(".chat-row input", this.list)?.focus();
  }

  mark(id, on) {
    if (on) this.selected.add(id);
    else this.selected.delete(id);
    this.draw();
  }

  endSelection() {
    this.selected = null;
    this.draw();
    $("#list-menu").focus();
  }

  /** Open a chat at one of its messages. */
  async openAt(chat, message) {
    if ((await attempt(() => post(`/chats/${encodeURIComponent(chat)}/reveal`, { message }))) === false) return;
    this.open(chat);
    const element = await whenPresent(`.message[data-id="${CSS.escape(message)}"]`);
    // The person may have gone on to another chat before the message was there.
    if (this.current() !== chat) return;
    element.scrollIntoView({ block: "center" });
    element.classList.add("found");
    element.setAttribute("tabindex", "-1");
    element.focus({ preventScroll: true });
    setTimeout(() => element.classList.remove("found"), 2500);
  }
}
