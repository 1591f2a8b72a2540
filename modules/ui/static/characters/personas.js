// Personas: who the user is in chats.

import { h, iconButton, textButton } from "../dom.js";
import { attempt, get, post, put } from "../requests.js";
import { toast } from "../toasts.js";
import { avatar } from "./avatar.js";
import { area, checkbox, chooseFiles, labelled, line } from "./fields.js";

/** Draw the list of personas into the window `panel`. `fill` puts it there, unless something else is shown by then. */
export async function drawPersonas(fill, panel) {
  const answer = await attempt(() => get("/personas"));
  if (!answer) return;
  const row = (one) =>
    h(
      "div",
      { class: one.error ? "card-row broken" : "card-row" },
      avatar("personas", one.file, one.picture, one.name),
      h(
        "div",
        { class: "card-text", translate: "no" },
        h("strong", { dir: "auto" }, one.name),
        h("p", { dir: "auto" }, one.error || (one.default ? `Default. ${one.description}` : one.description)),
      ),
      iconButton("edit", `Edit ${one.name}`, () => edit(panel, one), { disabled: Boolean(one.error) }),
    );
  const rows = answer.personas.map(row);
  const empty = h("p", { class: "quiet" }, "A persona is who you are in a chat: a name, a description and a picture.");
  fill(
    h("div", { class: "row characters-bar" }, textButton("New persona", () => edit(panel, null), { kind: "primary" })),
    rows.length ? h("div", { class: "cards" }, rows) : empty,
  );
}

async function edit(panel, one) {
  const isCurrent = panel.turn();
  const known = await attempt(() => get("/characters"));
  if (!isCurrent()) return;
  const back = () => panel.show("personas");
  const name = line(one?.name, { required: true, maxlength: "200" });
  const description = area(one?.description, 5);
  const isDefault = checkbox("Use it in chats without another persona", one?.default);
  const bound = (known ? known.characters : []).map((character) => {
    const found = checkbox(character.title, one?.characters?.includes(character.name));
    return { ...found, name: character.name };
  });
  const onsubmit = async (event) => {
    event.preventDefault();
    const showList = panel.later("personas");
    const answer = await attempt(() =>
      post("/personas/save", {
        file: one?.file ?? "",
        name: name.value,
        description: description.value,
        default: isDefault.box.checked,
        characters: bound.filter(({ box }) => box.checked).map((each) => each.name),
      }),
    );
    if (!answer) return;
    toast(`Saved ${name.value}.`);
    showList();
  };
  let face = one && avatar("personas", one.file, one.picture, one.name);
  // The form stays as it is: it may have changes that are not saved.
  const picture = ([file]) =>
    attempt(async () => {
      const { personas } = await put(`/personas/picture?name=${encodeURIComponent(one.file)}`, file);
      const found = personas.find((each) => each.file === one.file);
      const changed = avatar("personas", one.file, found?.picture, one.name);
      face.replaceWith(changed);
      face = changed;
    });
  const remove = async () => {
    const showList = panel.later("personas");
    if ((await attempt(() => post("/personas/delete", { name: one.file }))) !== false) showList();
  };
  panel.fill(
    h("div", { class: "row" }, textButton("All personas", back, { kind: "small" })),
    one
      ? h(
          "div",
          { class: "card-head" },
          face,
          h(
            "div",
            { class: "row" },
            textButton("Change picture…", () => chooseFiles("image/*", false, picture), { kind: "small" }),
            textButton("Delete", remove, { kind: "small" }),
          ),
        )
      : null,
    h(
      "form",
      { class: "card-form", onsubmit },
      labelled("Name", name, "What {{user}} stands for."),
      labelled("Description", description, "It goes into every prompt of its chats."),
      isDefault.row,
      bound.length
        ? h(
            "fieldset",
            { class: "chat-field" },
            h("legend", {}, "In chats with"),
            bound.map(({ row }) => row),
          )
        : null,
      h(
        "div",
        { class: "row form-end" },
        h("button", { type: "submit", class: "button primary" }, "Save"),
        textButton("Cancel", back),
      ),
    ),
  );
  name.focus();
}
