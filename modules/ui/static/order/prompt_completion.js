// Completes `/name` at the beginning of a message with a prompt of the library, and asks for its values.

import { h } from "../dom.js";
import { get, turns } from "../requests.js";
import { openPrompts } from "./prompts.js";
import { openSheet } from "./sheet.js";

// Marks of characters' texts, which are filled in when a reply is made.
const RESERVED = ["user", "char", "date", "time", "weekday", "isodate", "isotime"];
const MOST_SHOWN = 8;

/** Return the names of the values that a prompt asks for, each once. */
export function variablesOf(text) {
  const names = [...text.matchAll(/\{\{\s*([\p{L}\p{N}_][\p{L}\p{N}_ -]*?)\s*\}\}/gu)].map(([, name]) => name);
  return [...new Set(names)].filter((name) => !RESERVED.includes(name.toLowerCase()));
}

/** Return the text with these values in it. */
export function fillIn(text, values) {
  return text.replace(/\{\{\s*([\p{L}\p{N}_][\p{L}\p{N}_ -]*?)\s*\}\}/gu, (mark, name) => values[name] ?? mark);
}

export class PromptCompletion {
  /** `area` is the field for writing, `fill(text)` sets its text. */
  constructor(area, fill) {
    this.area = area;
    this.fill = fill;
    this.found = [];
    this.at = 0;
    this.turn = turns();
    this.list = h("div", { id: "prompt-list", role: "listbox", "aria-label": "Prompts", hidden: true });
    area.closest("#composer").before(this.list);
    area.setAttribute("aria-controls", "prompt-list");
    // Before the composer's own keys.
    addEventListener("keydown", (event) => event.target === area && this.#key(event), { capture: true });
    area.addEventListener("input", () => this.#look());
    area.addEventListener("blur", () => setTimeout(() => this.#hide(), 150));
  }

  async #look() {
    const isLatest = this.turn();
    const typed = /^\/([\p{L}\p{N}_-]*)$/u.exec(this.area.value);
    if (!typed) return this.#hide();
    const prompts = await get("/prompts").catch(() => []);
    // More was typed in the time between.
    if (this.area.value !== typed[0] || !isLatest()) return;
    const wanted = typed[1].toLowerCase();
    const begins = ({ name }) => Number(name.toLowerCase().startsWith(wanted));
    this.found = prompts
      .filter(({ name }) => name.toLowerCase().includes(wanted))
      .sort((one, other) => begins(other) - begins(one))
      .slice(0, MOST_SHOWN);
    if (!this.found.length && wanted) return this.#hide();
    this.at = 0;
    this.#draw();
  }

  #draw() {
    const option = (prompt, place) =>
      h(
        "div",
        {
          role: "option",
          id: `prompt-option-${place}`,
          class: "prompt-option",
          "aria-selected": String(place === this.at),
          onpointerdown: (event) => (event.preventDefault(), this.#choose(prompt)),
        },
        h("strong", { dir: "auto" }, `/${prompt.name}`),
        h("span", { dir: "auto" }, prompt.text),
      );
    const edit = {
      role: "option",
      class: "prompt-option",
      id: `prompt-option-${this.found.length}`,
      "aria-selected": String(this.at === this.found.length),
      onpointerdown: (event) => (event.preventDefault(), this.#choose(null)),
    };
    this.list.replaceChildren(...this.found.map(option), h("div", edit, h("span", {}, "Edit the prompts…")));
    this.list.hidden = false;
    this.area.setAttribute("aria-activedescendant", `prompt-option-${this.at}`);
  }

  #hide() {
    this.list.hidden = true;
    this.area.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    if (this.list.hidden || event.isComposing) return;
    const count = this.found.length + 1;
    if (event.key === "ArrowDown") this.at = (this.at + 1) % count;
    else if (event.key === "ArrowUp") this.at = (this.at + count - 1) % count;
    else if (event.key === "Escape") this.#hide();
    else if (event.key === "Enter" || event.key === "Tab") this.#choose(this.found[this.at] ?? null);
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.key.startsWith("Arrow")) this.#draw();
  }

  #choose(prompt) {
    this.#hide();
    if (!prompt) return (this.fill(""), openPrompts());
    const names = variablesOf(prompt.text);
    if (!names.length) return this.#insert(prompt.text);
    openSheet(`/${prompt.name}`, (body, close) => {
      const field = (name, place) => h("textarea", { rows: "2", dir: "auto", autofocus: place === 0, name });
      const fields = names.map(field);
      const submit = (event) => {
        event.preventDefault();
        close();
        this.#insert(fillIn(prompt.text, Object.fromEntries(fields.map(({ name, value }) => [name, value]))));
      };
      const send = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && submit(event);
      for (const one of fields) one.addEventListener("keydown", send);
      body.append(
        h(
          "form",
          { onsubmit: submit },
          fields.map((one) => h("label", { class: "chat-field" }, h("span", {}, one.name), one)),
          h("button", { type: "submit", class: "button primary" }, "Insert"),
        ),
      );
    });
  }

  #insert(text) {
    this.fill(text);
    this.area.focus();
    this.area.setSelectionRange(text.length, text.length);
  }
}
