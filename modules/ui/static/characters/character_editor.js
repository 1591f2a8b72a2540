// The editor of one character.

import { h, iconButton, textButton } from "../dom.js";
import { attempt, post, put } from "../requests.js";
import { toast } from "../toasts.js";
import { avatar } from "./avatar.js";
import { area, chooseFiles, download, labelled, line, number, ROLES, select } from "./fields.js";
import { drawBookEditor } from "./lorebook_editor.js";

const FORMS = [
  ["png", "Card (PNG)"],
  ["json", "JSON, as it is stored"],
  ["charx", "Archive (CHARX)"],
  ["v3", "JSON, version 3"],
  ["v2", "JSON, version 2"],
  ["v1", "JSON, version 1"],
  ["yaml", "text-generation-webui (YAML)"],
];
const EMPTY = { greetings: [""], tags: [], group_only_greetings: [], depth_prompt: { depth: 4, role: "system" } };

/** Draw the editor into the window `panel`. `facts`: as the host sends them, null for a new character. */
export function drawCharacterEditor(panel, name, facts) {
  const fields = facts?.fields ?? EMPTY;
  const back = () => panel.show("characters");
  const plain = plainFields(fields);
  const greetings = textList(fields.greetings, "Greeting", "Add another greeting");
  const forGroups = textList(fields.group_only_greetings, "Greeting in groups", "Add a greeting for groups", 0);
  const depth = fields.depth_prompt;
  const note = { prompt: area(depth.prompt, 2), depth: number(depth.depth), role: select(ROLES, depth.role) };
  const tags = line(fields.tags.join(", "));
  let book = fields.character_book;
  const bookLabel = () => `Lorebook: ${book ? entries(book) : "none"}…`;

  const collect = () => ({
    ...Object.fromEntries(Object.entries(plain).map(([key, field]) => [key, field.value])),
    greetings: greetings.values(),
    group_only_greetings: forGroups.values(),
    tags: split(tags.value),
    depth_prompt: { prompt: note.prompt.value, depth: Number(note.depth.value || 0), role: note.role.value },
    character_book: book ?? null,
  });
  const save = async () => {
    const answer = await attempt(() => post("/characters/save", { name, fields: collect() }));
    if (answer) toast(`Saved ${answer.title}.`);
    return answer;
  };
  const editBook = () => {
    // The form is kept while its lorebook is edited.
    const form = [...panel.body.childNodes];
    drawBookEditor(panel, `Lorebook of ${plain.name.value || "the character"}`, book ?? { entries: [] }, (changed) => {
      if (changed) book = changed;
      panel.fill(...form);
      bookButton.textContent = bookLabel();
      bookButton.focus();
    });
  };
  const bookButton = textButton(bookLabel(), editBook);
  const onsubmit = async (event) => {
    event.preventDefault();
    const isCurrent = panel.turn();
    const answer = await save();
    if (answer && isCurrent()) name ? back() : panel.edit(answer.name);
  };
  const chat = async () => {
    const isCurrent = panel.turn();
    const answer = await save();
    if (answer && isCurrent()) panel.chatWith([answer.name]);
  };
  panel.fill(
    h("div", { class: "row" }, textButton("All characters", back, { kind: "small" })),
    facts ? head(panel, name, facts) : null,
    facts?.notes.length ? h("p", { class: "quiet" }, facts.notes.join(" ")) : null,
    h(
      "form",
      { class: "card-form", onsubmit },
      labelled("Name", plain.name),
      labelled("Description", plain.description, "Who the character is. It goes into every prompt."),
      labelled("Personality", plain.personality),
      labelled("Scenario", plain.scenario),
      greetings.element,
      labelled("Example messages", plain.mes_example, "Begin each example with a line <START>."),
      labelled("System prompt", plain.system_prompt, "In place of yours; {{original}} stands for yours."),
      labelled("Post-history instructions", plain.post_history_instructions, "Go after the last message."),
      more(
        "Note at a depth, nickname, lorebook and more",
        labelled("Note at a depth", note.prompt, "Put in so many messages before the end."),
        h("div", { class: "pair" }, labelled("Depth", note.depth), labelled("As", note.role)),
        labelled("Nickname", plain.nickname, "What {{char}} stands for, in place of the name."),
        forGroups.element,
        h("div", { class: "row card-lore" }, bookButton),
        labelled("Tags", tags, "Separated by commas."),
        labelled("Creator's notes", plain.creator_notes, "For people; not part of the prompt."),
        h("div", { class: "pair" }, labelled("Creator", plain.creator), labelled("Version", plain.character_version)),
      ),
      h(
        "div",
        { class: "row form-end" },
        h("button", { type: "submit", class: "button primary" }, "Save"),
        textButton("Save and chat", chat),
        textButton("Cancel", back),
      ),
    ),
  );
  plain.name.focus();
}

function head(panel, name, { title, picture }) {
  let face = avatar("characters", name, picture, title);
  // The form stays as it is: it may have changes that are not saved.
  const setPicture = ([file]) =>
    attempt(async () => {
      const found = await put(`/characters/picture?name=${encodeURIComponent(name)}`, file);
      const changed = avatar("characters", name, found.picture, title);
      face.replaceWith(changed);
      face = changed;
    });
  const remove = async () => {
    const showList = panel.later("characters");
    if ((await attempt(() => post("/characters/delete", { name }))) === false) return;
    toast(`Moved ${title} to the folder .trash beside the characters.`);
    showList();
  };
  const copy = async () => {
    const isCurrent = panel.turn();
    const answer = await attempt(() => post("/characters/duplicate", { name }));
    if (answer && isCurrent()) panel.edit(answer.name);
  };
  const form = select(FORMS, "png", () => link.replaceWith((link = saveAs())));
  form.setAttribute("aria-label", "Form of the file");
  const saveAs = () =>
    download(`/characters/export?name=${encodeURIComponent(name)}&form=${form.value}`, "Download", "");
  let link = saveAs();
  return h(
    "div",
    { class: "card-head" },
    face,
    h(
      "div",
      { class: "card-actions" },
      h(
        "div",
        { class: "row" },
        textButton("Change picture…", () => chooseFiles("image/*", false, setPicture), { kind: "small" }),
        textButton("Duplicate", copy, { kind: "small" }),
        textButton("Delete", remove, { kind: "small" }),
      ),
      h("div", { class: "row export" }, form, link),
    ),
  );
}

function plainFields(fields) {
  return {
    name: line(fields.name, { required: true, maxlength: "200" }),
    description: area(fields.description, 6),
    personality: area(fields.personality, 2),
    scenario: area(fields.scenario, 2),
    mes_example: area(fields.mes_example, 4),
    system_prompt: area(fields.system_prompt, 2),
    post_history_instructions: area(fields.post_history_instructions, 2),
    nickname: line(fields.nickname),
    creator_notes: area(fields.creator_notes, 2),
    creator: line(fields.creator),
    character_version: line(fields.character_version),
  };
}

/** Return a list of texts to which one can add, and `values()`. */
function textList(texts, label, add, least = 1) {
  const list = h("div", { class: "text-list" });
  const item = (text) => {
    const field = area(text, 3, { "aria-label": label });
    const remove = iconButton("trash", `Remove this ${label.toLowerCase()}`, () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      (next?.querySelector("textarea") ?? button).focus();
    });
    const row = h("div", { class: "text-item" }, field, remove);
    return row;
  };
  const shown = texts.length ? texts : Array(least).fill("");
  const button = textButton(
    add,
    () => {
      const row = item("");
      list.append(row);
      row.querySelector("textarea").focus();
    },
    { kind: "small" },
  );
  list.append(...shown.map(item));
  const help = least ? "The chat begins with the first one. The others are its versions." : "";
  const element = h(
    "fieldset",
    { class: "chat-field" },
    h("legend", {}, least ? "Greetings" : "Greetings in groups"),
    list,
    h("div", { class: "row" }, button),
    help ? h("span", { class: "about" }, help) : null,
  );
  return { element, values: () => [...list.querySelectorAll("textarea")].map((field) => field.value) };
}

function more(label, ...children) {
  return h("details", { class: "more" }, h("summary", {}, label), children);
}

const split = (text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);

const entries = (book) => {
  const count = Object.values(book.entries ?? {}).length;
  return count === 1 ? "1 entry" : `${count} entries`;
};
