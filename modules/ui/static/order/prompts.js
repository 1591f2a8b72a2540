// The library of prompts: texts with a name, which `/name` in the composer completes.

import { h, iconButton, textButton } from "../dom.js";
import { attempt, get, post } from "../requests.js";
import { openSheet } from "./sheet.js";

/** Open the library. */
export function openPrompts() {
  openSheet("Prompts", async (body) => {
    const list = h("ul", { class: "choices" });
    const name = h("input", { type: "text", maxlength: "60", dir: "auto", autocomplete: "off" });
    const text = h("textarea", { rows: "5", dir: "auto" });
    const draw = async () => {
      const prompts = (await attempt(() => get("/prompts"))) || [];
      list.replaceChildren(...prompts.map(row));
      if (!prompts.length) list.append(h("li", { class: "quiet" }, "No prompts yet. Write the first one below."));
    };
    const edit = (prompt) => {
      [name.value, text.value] = [prompt.name, prompt.text];
      text.focus();
    };
    const remove = async (prompt) =>
      (await attempt(() => post("/prompts/delete", { name: prompt.name }))) !== false && draw();
    const row = (prompt) =>
      h(
        "li",
        { class: "prompt-row" },
        h(
          "div",
          {},
          h("strong", { dir: "auto" }, `/${prompt.name}`),
          h("p", { class: "about", dir: "auto" }, prompt.text),
        ),
        iconButton("edit", `Edit ${prompt.name}`, () => edit(prompt)),
        iconButton("trash", `Delete ${prompt.name}`, () => remove(prompt)),
      );
    const save = async () => {
      if ((await attempt(() => post("/prompts", { name: name.value, text: text.value }))) === false) return;
      [name.value, text.value] = ["", ""];
      await draw();
    };
    body.append(
      h("p", { class: "about" }, "Type / and the name to begin a message. {{topic}} in the text asks for a value."),
      list,
      h("label", { class: "chat-field" }, h("span", {}, "Name"), name),
      h("label", { class: "chat-field" }, h("span", {}, "Text"), text),
      h("div", { class: "row" }, textButton("Save", save, { kind: "primary" })),
    );
    await draw();
  });
}
