// The window of characters, personas and lorebooks.

import { $, h, iconButton, textButton } from "../dom.js";
import { attempt, get, post, put } from "../requests.js";
import { toast } from "../toasts.js";
import { avatar } from "./avatar.js";
import { drawCharacterEditor } from "./character_editor.js";
import { checkbox, chooseFiles } from "./fields.js";
import { drawLorebooks } from "./lorebooks.js";
import { drawPersonas } from "./personas.js";

const CARDS = ".png,.apng,.json,.yaml,.yml,.charx,.jpg,.jpeg,.webp,.zip";
const PICTURES = /\.(png|jpe?g|webp|gif)$/i;
const VIEWS = [
  ["characters", "Characters"],
  ["personas", "Personas"],
  ["lorebooks", "Lorebooks"],
];

export class CharactersPanel {
  /** `open(id)` shows a chat. */
  constructor({ open }) {
    this.openChat = open;
    this.view = "characters";
    // Counts what the window showed, and was asked for. An answer that comes after the person has gone elsewhere
    // changes nothing.
    this.shown = 0;
    this.body = h("div", { class: "characters-body", role: "tabpanel" });
    this.tabs = h("div", { class: "characters-tabs", role: "tablist", "aria-label": "Kinds" }, this.#tabs());
    const close = iconButton("close", "Close", () => this.dialog.close());
    const head = h("div", { class: "window-head" }, h("h2", { id: "characters-heading" }, "Characters"), close);
    this.dialog = h("dialog", { id: "characters-panel", class: "sheet", "aria-labelledby": "characters-heading" });
    this.dialog.append(head, this.tabs, this.body);
    document.body.append(this.dialog);
    this.button = h(
      "button",
      { type: "button", class: "button", id: "open-characters", "aria-haspopup": "dialog", onclick: () => this.open() },
      "Characters",
    );
    $("#new-chat").after(this.button);
  }

  #tabs() {
    const tab = ([name, label]) =>
      h(
        "button",
        {
          type: "button",
          class: "text-button",
          role: "tab",
          id: `characters-tab-${name}`,
          onclick: () => this.show(name),
        },
        label,
      );
    const tabs = VIEWS.map(tab);
    const step = (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const place = tabs.indexOf(document.activeElement);
      const next = tabs[(place + by + tabs.length) % tabs.length];
      next.focus();
      next.click();
    };
    for (const one of tabs) one.addEventListener("keydown", step);
    return tabs;
  }

  /** Open the window. A form that was being filled in when it was closed is still there. */
  async open(view = this.view) {
    if (view !== this.view || !$(".card-form", this.body)) await this.show(view);
    if (!$("dialog:modal")) this.dialog.showModal();
  }

  /** Show one of the three lists. */
  async show(view) {
    this.view = view;
    const isCurrent = this.turn();
    const fill = (...children) => isCurrent() && this.fill(...children);
    for (const [name] of VIEWS) {
      const tab = $(`#characters-tab-${name}`, this.tabs);
      tab.setAttribute("aria-selected", String(name === view));
      tab.tabIndex = name === view ? 0 : -1;
    }
    const characters = () => this.#drawList(false, fill);
    const draw = { characters, personas: drawPersonas, lorebooks: drawLorebooks }[view];
    this.body.setAttribute("aria-labelledby", `characters-tab-${view}`);
    await draw(fill, this);
    // What had the focus may be gone.
    if (this.dialog.open && !this.dialog.contains(document.activeElement)) $(`#characters-tab-${view}`).focus();
  }

  /** Return a function that is true until the window shows, or is asked for, something else. */
  turn() {
    const own = ++this.shown;
    return () => own === this.shown;
  }

  /** Return a function that shows a list again, if the window still shows what it shows now. */
  later(view) {
    const { shown } = this;
    return () => (shown === this.shown ? this.show(view) : undefined);
  }

  /** Put these elements into the window, with the focus on the first field. */
  fill(...children) {
    this.shown += 1;
    this.body.replaceChildren(...children.filter(Boolean));
    this.dialog.scrollTop = 0;
  }

  #list(grouping = false) {
    const isCurrent = this.turn();
    return this.#drawList(grouping, (...children) => isCurrent() && this.fill(...children));
  }

  async #drawList(grouping, fill) {
    const answer = await attempt(() => get("/characters"));
    if (!answer) return;
    const chosen = new Set();
    const start = textButton("Start the group chat", () => this.chatWith([...chosen]), { kind: "primary" });
    const cancel = textButton("Cancel", () => this.#list());
    const bar = grouping
      ? [start, cancel]
      : [
          textButton("New character", () => this.edit(""), { kind: "primary" }),
          textButton("Import…", () => chooseFiles(CARDS, true, (files) => this.#import(files))),
          answer.characters.length > 1 ? textButton("Group chat…", () => this.#list(true)) : null,
        ];
    start.disabled = true;
    const toggled = (name) => (on) => {
      if (on) chosen.add(name);
      else chosen.delete(name);
      start.disabled = chosen.size < 2;
    };
    const rows = answer.characters.map((one) => (grouping ? pick(one, toggled(one.name)) : this.#row(one)));
    const empty = h(
      "p",
      { class: "quiet" },
      `No characters yet. Make one, or import a card: PNG, JSON, CHARX or YAML. Files in ${answer.folder} work too.`,
    );
    fill(h("div", { class: "row characters-bar" }, bar), rows.length ? h("div", { class: "cards" }, rows) : empty);
  }

  #row({ name, title, picture, about, tags, error }) {
    const detail = error || about || tags.join(", ");
    const chat = { kind: "small", "aria-label": `Chat with ${title}` };
    return h(
      "div",
      { class: error ? "card-row broken" : "card-row" },
      avatar("characters", name, picture, title),
      h(
        "div",
        { class: "card-text", translate: "no" },
        h("strong", { dir: "auto" }, title),
        detail ? h("p", { dir: "auto" }, detail) : null,
      ),
      error ? null : textButton("Chat", () => this.chatWith([name]), chat),
      iconButton("edit", `Edit ${title}`, () => this.edit(name), { disabled: Boolean(error) }),
    );
  }

  /** Open a chat with these characters. */
  async chatWith(characters) {
    const isCurrent = this.turn();
    const answer = await attempt(() => post("/characters/chat", { characters }));
    if (!answer || !isCurrent()) return;
    this.dialog.close();
    this.fill();
    this.openChat(answer.id);
  }

  async #import(files) {
    const texts = files.filter((file) => !PICTURES.test(file.name) || /\.png$/i.test(file.name));
    const yaml = new Set(files.filter((file) => /\.ya?ml$/i.test(file.name)).map((file) => stem(file.name)));
    // The picture beside a YAML file is its avatar.
    const cards = texts.filter((file) => !(PICTURES.test(file.name) && yaml.has(stem(file.name))));
    const rest = files.filter((file) => !cards.includes(file));
    const showAgain = this.later("characters");
    for (const file of cards.length ? cards : files) {
      const done = await attempt(() => put(`/characters/import?name=${encodeURIComponent(file.name)}`, file));
      if (!done) continue;
      toast([`Imported ${done.name}.`, ...done.notes].join(" "));
      const picture = rest.find((one) => stem(one.name) === stem(file.name));
      if (picture) await attempt(() => put(`/characters/picture?name=${encodeURIComponent(done.name)}`, picture));
    }
    await showAgain();
  }

  /** Show the editor of a character; with an empty name, of a new one. */
  async edit(name) {
    const isCurrent = this.turn();
    const facts = name ? await attempt(() => get(`/characters/one?name=${encodeURIComponent(name)}`)) : null;
    if ((name && !facts) || !isCurrent()) return;
    drawCharacterEditor(this, name, facts);
  }
}

function pick({ name, title, picture }, toggled) {
  const { row } = checkbox(title, false, toggled);
  row.classList.add("card-row");
  row.insertBefore(avatar("characters", name, picture, title), row.lastElementChild);
  return row;
}

const stem = (name) => name.replace(/\.[^.]*$/, "").toLowerCase();
