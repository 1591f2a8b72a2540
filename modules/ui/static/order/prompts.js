// The library of prompts: texts with a name, which `/name` in the composer completes.

import { clearSent, h, iconButton, textButton } from "../dom.js";
import { drawRows } from "../redraw.js";
import { attempt, get, post, turns } from "../requests.js";
import { openSheet } from "./sheet.js";

/** Open the library. */
export function openPrompts() {
  openSheet("Prompts", async (body) => {
    const list = h("ul", { class: "choices" });
    const name = h("input", { type: "text", maxlength: "60", dir: "auto", autocomplete: "off" });
    const text = h("textarea", { rows: "5", dir: "auto" });
    const none = h("p", { class: "quiet", hidden: true }, "No prompts yet. Write the first one below.");
    const turn = turns();
    const draw = async () => {
      const isLatest = turn();
      const prompts = await attempt(() => get("/prompts"));
      if (!prompts || !isLatest()) return;
      none.hidden = prompts.length > 0;
      drawRows(list, prompts, (prompt) => prompt.name, row);
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
      const sent = { name: name.value, text: text.value };
      if ((await attempt(() => post("/prompts", sent))) === false) return;
      clearSent(name, sent.name);
      clearSent(text, sent.text);
      await draw();
    };
    body.append(
      h("p", { class: "about" }, "Type / and the name to begin a message. {{topic}} in the text asks for a value."),
      list,
      none,
      h("label", { class: "chat-field" }, h("span", {}, "Name"), name),
      h("label", { class: "chat-field" }, h("span", {}, "Text"), text),
      h("div", { class: "row" }, textButton("Save", save, { kind: "primary" })),
    );
    await draw();
  });
}
