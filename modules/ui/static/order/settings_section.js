// Sections of the panel "This chat": model, preset and changed parameters, system prompt, character and tools.

import { addChatSection } from "../chat_panel.js";
import { $, h, textButton } from "../dom.js";
import { drawRows, focusInRow, forgetRows, keepFocus, showNodes } from "../redraw.js";

/** Return a labelled field with a line of help. Where the section has the same title, the label is not `shown`. */
function labelled(label, field, help = "", shown = true) {
  const about = help ? h("span", { class: "about" }, help) : null;
  if (!shown) field.setAttribute("aria-label", label);
  return h("label", { class: "chat-field" }, shown ? h("span", {}, label) : null, field, about);
}

/** Return a list to choose from. `options`: [value, label] each. A value that is not among them is shown as missing. */
export function choice(options, value, onchange) {
  const known = options.some(([name]) => name === value);
  const all = known ? options : [...options, [value, `${value} (missing)`]];
  const select = h("select", {}, ...all.map(([name, label]) => h("option", { value: name }, label)));
  select.value = value;
  select.addEventListener("change", () => onchange(select.value));
  return select;
}

const named = (names) => names.map((name) => [name, name]);

function drawModel(body, chat) {
  const { choices, inherited, settings } = chat;
  const loaded = inherited.model ? `The loaded model (${inherited.model})` : "The loaded model";
  const models = choice([["", loaded], ...named(choices.models)], settings.model ?? "", (name) =>
    chat.change({ model: name || null }),
  );
  const help =
    "If this model is not loaded when you send a message, it is loaded first: beside the others where there is room, " +
    "else in place of the loaded one.";
  const presets = choice(
    [["", `As on the Parameters tab (${inherited.preset})`], ...named(choices.presets)],
    settings.preset ?? "",
    (name) => chat.change({ preset: name || null }),
  );
  body.append(labelled("Model", models, help), labelled("Preset", presets), parameters(chat));
}

/** Return the list of parameters that differ in this chat, with fields to change and add them. */
function parameters(chat) {
  const list = h("div", { class: "chat-parameters" });
  const rows = h("div", { class: "chat-parameters" });
  // What the person chose. What the chat has comes later.
  let own = { ...chat.settings.parameters };
  const store = async (values) => {
    own = values;
    draw();
    if ((await chat.change({ parameters: Object.keys(values).length ? values : null })) || own !== values) return;
    own = { ...chat.settings.parameters };
    forgetRows(rows);
    draw();
  };
  const row = (parameter) => {
    const { name, label } = parameter;
    // The row stays as it is while its value changes.
    const field = valueField(parameter, own[name], (value) => store({ ...own, [name]: value }));
    field.setAttribute("aria-label", label);
    const reset = () => store(Object.fromEntries(Object.entries(own).filter(([one]) => one !== name)));
    const remove = textButton("Reset", () => void reset(), { kind: "small", "aria-label": `Reset ${label}` });
    return h("div", { class: "chat-parameter" }, h("span", {}, label), field, remove);
  };
  const draw = () => {
    const changed = chat.choices.parameters.filter(({ name }) => name in own);
    const rest = chat.choices.parameters.filter(({ name }) => !(name in own));
    const added = (name) => {
      if (!name) return;
      store({ ...own, [name]: chat.choices.parameters.find((one) => one.name === name).value });
      focusInRow(rows, name, 0);
    };
    const options = [["", "Change a parameter…"], ...rest.map(({ name, label }) => [name, label])];
    const add = choice(options, "", added);
    add.setAttribute("aria-label", "Change a parameter in this chat");
    const show = () => {
      drawRows(rows, changed, ({ name }) => name, row);
      showNodes(list, [rows, add]);
    };
    keepFocus(list, show, add);
  };
  draw();
  return list;
}

/** Return a field for the value of a parameter: a switch, a number, or a text with one entry per line. */
function valueField({ kind, minimum, maximum, step, choices }, value, onchange) {
  if (kind === "bool") {
    const box = h("input", { type: "checkbox", checked: Boolean(value) });
    box.addEventListener("change", () => onchange(box.checked));
    return box;
  }
  if (choices.length) return choice(named(choices), String(value), onchange);
  if (kind === "int" || kind === "float") {
    const field = h("input", { type: "number", value: String(value), min: minimum, max: maximum, step });
    field.addEventListener("change", () => field.value !== "" && onchange(Number(field.value)));
    return field;
  }
  const isList = Array.isArray(value);
  const field = h("textarea", { rows: "2", dir: "auto" });
  field.value = isList ? value.map((line) => line.replaceAll("\n", "\\n")).join("\n") : String(value ?? "");
  const lines = () => field.value.split("\n").map((line) => line.replaceAll("\\n", "\n"));
  field.addEventListener("change", () => onchange(isList ? lines().filter(Boolean) : field.value));
  return field;
}

function drawSystem(body, chat) {
  const { folder, inherited, settings } = chat;
  const area = h("textarea", { rows: "4", dir: "auto", placeholder: inherited.system || "None" });
  area.value = settings.system ?? "";
  area.addEventListener("change", () => chat.change({ system: area.value.trim() ? area.value : null }));
  const from = folder?.settings.system ? `that of the folder ${folder.name}` : "that of the Session tab";
  body.append(labelled("System prompt", area, `In place of ${from}. Empty: ${from} is used.`, false));
}

function drawCharacter(body, chat) {
  const { choices, character } = chat;
  const select = choice([["", "None"], ...named(choices.characters)], character, (name) =>
    chat.write("character", { title: name }),
  );
  body.append(labelled("Character", select, "Its greeting is added where the chat has no messages yet.", false));
}

function drawTools(body, chat) {
  const open = () => ($("#chat-panel").close(), $("#open-tools").click());
  const { tools } = chat.inherited;
  const on = tools ? `${tools} on` : "none on";
  body.append(h("div", { class: "row" }, h("span", {}, on), textButton("Choose tools…", open, { kind: "small" })));
}

/** Add Paddock's own first sections. */
export function addSettingsSections() {
  addChatSection("Model", drawModel, { order: 10 });
  addChatSection("System prompt", drawSystem, { order: 20 });
  addChatSection("Character", drawCharacter, { order: 30 });
  addChatSection("Tools", drawTools, { order: 40 });
}
