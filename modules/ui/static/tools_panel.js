// The tools of a chat: a window with a switch for each, opened from the composer.

import { ChatWindow } from "./chat_window.js";
import { h, textButton } from "./dom.js";
import { drawRows, forgetRows } from "./redraw.js";

const LOOK_AGAIN = 1000;
const STATES = { ready: "", starting: "Starting", off: "Off", failed: "Failed" };

export class ToolsPanel extends ChatWindow {
  constructor() {
    super("tools", "Tools", LOOK_AGAIN);
    this.list = h("div", { class: "tool-sources" });
    this.mustCall = h("input", { type: "checkbox", id: "tools-must-call", "aria-describedby": "tools-must-about" });
    this.mustCall.addEventListener("change", () => this.change("must-call", { on: this.mustCall.checked }));
    this.dialog.append(this.#mustCallRow(), this.list);
  }

  labelOf(on) {
    return on ? `Tools: ${on} on` : "Tools";
  }

  draw({ sources, must_call: mustCall }, changed) {
    this.scope.textContent = this.chat
      ? "The model may call these tools in this chat. Each call asks you first."
      : "The model may call these tools in new chats. Each call asks you first.";
    this.mustCall.checked = mustCall;
    if (changed) forgetRows(this.list);
    drawRows(
      this.list,
      sources,
      ({ title }) => title,
      (source) => this.#source(source),
    );
    // Servers that start say nothing to the page: it looks again until they have.
    return sources.some(({ state }) => state === "starting");
  }

  #mustCallRow() {
    const about =
      "A grammar makes each reply begin with a call of a tool that is on. For models that forget their tools.";
    return h(
      "div",
      { class: "tool-row" },
      h("label", { for: "tools-must-call" }, this.mustCall, h("span", {}, "Begin each reply with a call")),
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
    const label = state === "failed" ? "Try again" : "Start again";
    const start = () => this.change("restart", { key: name });
    return h("div", { class: "row" }, textButton(label, start, { id: `tools-restart-${name}`, kind: "small" }));
  }

  #tool({ key, name, description, on, asks, always }) {
    const id = `tool-${key}`;
    const box = h("input", { type: "checkbox", id, checked: on, "aria-describedby": `${id}-about` });
    box.addEventListener("change", () => this.change("switch", { key, on: box.checked }));
    const allowed = asks
      ? null
      : h(
          "p",
          { class: "allowed" },
          always ? "Runs without asking in every chat. " : "Runs without asking in this chat. ",
          textButton("Ask again", () => this.change("ask", { key }), {
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
