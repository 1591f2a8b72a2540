// The tokens of what the model wrote last: the colour shows how likely each was, a click what else it could be.

import { $, $$, h, textButton } from "../dom.js";
import { attempt, get, post } from "../requests.js";

const KEY = "paddock.notebook.tokens";
const EMPTY = "Press Generate to see the tokens that the model writes. A token shows what else it could have been.";

const percent = (probability) =>
  probability === null ? "unknown" : `${(probability * 100).toFixed(probability < 0.1 ? 1 : 0)} %`;
/** Return a token so that its spaces and line breaks can be seen. */
const visible = (text) => text.replace(/\n/g, "⏎").replace(/ /g, "·").replace(/\t/g, "⇥") || "∅";
/** Return a token and its probability as they are spoken. */
const spoken = ({ text, probability }) => `${text.trim() || visible(text)}, ${percent(probability)}`;

export class TokenPanel {
  /** `branch(before, text)` lets the model continue from another token; `name()` is the notebook's. */
  constructor({ branch, name }) {
    this.branch = branch;
    this.name = name;
    this.area = $("#notebook-text");
    this.switch = $("#notebook-tokens-switch");
    this.note = h("p", { class: "token-note", role: "status" });
    this.tokens = h("div", { class: "tokens", role: "group", "aria-label": "Tokens of the last text" });
    this.alternatives = h("div", { class: "alternatives" });
    const next = textButton("What comes next?", () => this.#next(), { kind: "small" });
    $("#notebook-tokens").replaceChildren(
      h("div", { class: "token-head" }, this.note, next),
      this.tokens,
      this.alternatives,
    );
    this.switch.addEventListener("click", () => this.toggle(!this.on));
    this.tokens.addEventListener("keydown", (event) => this.#key(event));
    // To continue from a place of an earlier text would take back what was typed since.
    this.area.addEventListener("input", () => this.alternatives.replaceChildren());
    this.shown = "";
    this.#draw({ start: 0, tokens: [], why_not: "" });
    this.toggle(localStorage.getItem(KEY) === "on");
  }

  /** Show or hide the panel. While it is shown, the model reports the tokens that it writes. */
  toggle(on) {
    this.on = on;
    localStorage.setItem(KEY, on ? "on" : "off");
    this.switch.setAttribute("aria-pressed", String(on));
    $("#notebook-tokens").hidden = !on;
    if (on) this.#load();
  }

  clear() {
    this.shown = "";
    this.#draw({ start: 0, tokens: [], why_not: "" });
  }

  /** The host says something new about the text (`facts` in notebook.py). */
  update(facts) {
    if (this.on && !facts.writing) this.#load();
  }

  async #load() {
    const name = this.name();
    const answer = await get(`/notebook/tokens?notebook=${encodeURIComponent(name)}`).catch(() => null);
    if (!answer || !this.on || name !== this.name()) return;
    const shown = `${answer.revision} ${answer.tokens.length} ${answer.why_not}`;
    if (shown === this.shown) return;
    this.shown = shown;
    this.#draw(answer);
  }

  #draw({ start, tokens, why_not: whyNot }) {
    this.start = start;
    this.note.textContent = whyNot || (tokens.length ? "" : EMPTY);
    this.alternatives.replaceChildren();
    this.tokens.replaceChildren(...tokens.map((token, index) => this.#token(token, index)));
  }

  #token(token, index) {
    const { text, probability } = token;
    const attributes = { "aria-label": spoken(token), title: percent(probability), tabindex: index ? "-1" : "0" };
    const button = h("button", { type: "button", class: "token", translate: "no", ...attributes }, visible(text));
    if (probability !== null) button.style.setProperty("--likely", String(probability));
    button.addEventListener("click", () => this.#choose(button, token));
    return button;
  }

  /** The arrows move among the tokens, which are one stop of the Tab key. */
  #key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 }[event.key];
    const all = $$(".token", this.tokens);
    const at = all.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    const next = all[Math.min(all.length - 1, Math.max(0, at + step))];
    all[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  #choose(button, token) {
    for (const one of $$(".token", this.tokens)) one.classList.toggle("chosen", one === button);
    // The host counts characters, the page's texts count UTF-16.
    const before = [...this.area.value].slice(0, this.start + token.at).join("");
    this.#offer(before, token.top, token.text);
  }

  /** Show tokens to continue with after a text. `chosen`: the one that the model took. */
  #offer(before, top, chosen = null) {
    const row = (token) =>
      h(
        "button",
        {
          type: "button",
          class: "button small alternative",
          "aria-label": `Continue with ${spoken(token)}`,
          "aria-current": token.text === chosen ? "true" : false,
          onclick: () => this.branch(before, token.text),
        },
        h("span", { translate: "no" }, visible(token.text)),
        h("span", { class: "share" }, percent(token.probability)),
      );
    const none = h("p", { class: "token-note" }, "The engine reported no alternatives.");
    this.alternatives.replaceChildren(...(top.length ? top.map(row) : [none]));
  }

  /** Show the likeliest tokens where the cursor is. */
  async #next() {
    const text = this.area.value;
    const before = text.slice(0, this.area.selectionStart);
    const answer = await attempt(() => post("/notebook/next", { notebook: this.name(), text: before }));
    if (answer && text === this.area.value) this.#offer(before, answer.top);
  }
}
