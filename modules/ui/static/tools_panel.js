// The tools of a chat: a window with a switch for each, opened from the composer.

import { $, h, iconButton, textButton } from "./dom.js";
import { attempt, get, post } from "./requests.js";

const LOOK_AGAIN = 1000;
const STATES = { ready: "", starting: "Starting", off: "Off", failed: "Failed" };

export class ToolsPanel {
  constructor() {
    // The id of the open chat, or "" for a new one.
    this.chat = "";
    this.button = $("#open-tools");
    this.list = h("div", { class: "tool-sources" });
    this.scope = h("p", { class: "quiet" });
    const close = iconButton("close", "Close", () => this.dialog.close());
    const head = h("div", { class: "tools-head" }, h("h2", { id: "tools-heading" }, "Tools"), close);
    this.dialog = h("dialog", { id: "tools-panel", "aria-labelledby": "tools-heading" }, head, this.scope, this.list);
    document.body.append(this.dialog);
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.button.addEventListener("click", () => this.open());
  }

  /** Show the tools of this chat from now on; with an empty id, those of new chats. */
  openChat(chat) {
    this.chat = chat;
    this.dialog.close();
    this.#count();
  }

  /** Show how many tools are on. MCP servers need not run for that. */
  async #count() {
    const { chat } = this;
    const answer = await attempt(() => get(`/tools/on?chat=${encodeURIComponent(chat)}`));
    if (answer && chat === this.chat) this.#mark(answer.on);
  }

  #mark(on) {
    this.button.setAttribute("aria-label", on ? `Tools: ${on} on` : "Tools");
    this.button.classList.toggle("some", on > 0);
  }

  async open() {
    await this.refresh();
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** Read the tools of the open chat again. */
  async refresh() {
    const { chat } = this;
    const tools = await attempt(() => get(`/tools?chat=${encodeURIComponent(chat)}`));
    if (tools && chat === this.chat) this.#draw(tools);
    // The host may answer again in a moment.
    else if (this.starting) this.#lookAgain();
  }

  #lookAgain() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.dialog.open && this.refresh(), LOOK_AGAIN);
  }

  async #change(path, body) {
    const { chat } = this;
    const tools = await attempt(() => post(`/tools/${path}`, { chat, ...body }));
    if (tools && chat === this.chat) this.#draw(tools);
    else await this.refresh();
  }

  #draw({ sources, on, must_call: mustCall }) {
    this.#mark(on);
    clearTimeout(this.timer);
    // Servers that start say nothing to the page: look again until they have.
    this.starting = sources.some(({ state }) => state === "starting");
    if (this.starting) this.#lookAgain();
    this.scope.textContent = this.chat
      ? "The model may call these tools in this chat. Each call asks you first."
      : "The model may call these tools in new chats. Each call asks you first.";
    const focused = document.activeElement?.id;
    this.list.replaceChildren(this.#mustCall(mustCall), ...sources.map((source) => this.#source(source)));
    if (focused && this.dialog.open) document.getElementById(focused)?.focus();
  }

  #mustCall(checked) {
    const id = "tools-must-call";
    const box = h("input", { type: "checkbox", id, checked, "aria-describedby": "tools-must-about" });
    box.addEventListener("change", () => this.#change("must-call", { on: box.checked }));
    const about =
      "A grammar makes each reply begin with a call of a tool that is on. For models that forget their tools.";
    return h(
      "div",
      { class: "tool-row" },
      h("label", { for: id }, box, h("span", {}, "Begin each reply with a call")),
      h("p", { class: "about", id: "tools-must-about" }, about),
    );
  }

  #source({ title, state, note, warning, tools, server }) {
    const label = STATES[state] ?? state;
    return h(
      "fieldset",
      { class: "tool-source", "data-state": state },
      h("legend", {}, title, label ? h("span", { class: "state" }, ` · ${label}`) : null),
      warning ? h("p", { class: "quiet" }, warning) : null,
      note ? h("p", { class: state === "failed" ? "warning" : "quiet" }, note) : null,
      server ? this.#serverButton(title, state) : null,
      tools.map((tool) => this.#tool(tool)),
    );
  }

  #serverButton(name, state) {
    const start = textButton(
      state === "failed" ? "Try again" : "Start again",
      () => {
        start.disabled = true;
        this.#change("restart", { key: name });
      },
      { id: `tools-restart-${name}`, kind: "small" },
    );
    return h("div", { class: "row" }, start);
  }

  #tool({ key, name, description, on, asks, always }) {
    const id = `tool-${key}`;
    const box = h("input", { type: "checkbox", id, checked: on, "aria-describedby": `${id}-about` });
    box.addEventListener("change", () => this.#change("switch", { key, on: box.checked }));
    const allowed = asks
      ? null
      : h(
          "p",
          { class: "allowed" },
          always ? "Runs without asking in every chat. " : "Runs without asking in this chat. ",
          textButton("Ask again", () => this.#change("ask", { key }), {
            kind: "small",
            "aria-label": `Ask again before ${name} runs`,
          }),
        );
    return h(
      "div",
      { class: "tool-row" },
      h("label", { for: id }, box, h("span", {}, name)),
      h("p", { class: "about", id: `${id}-about` }, description),
      allowed,
    );
  }
}
