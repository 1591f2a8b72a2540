// The editor of one lorebook, in the form of character cards V3. Fields that are not shown stay in it.

import { h, iconButton, textButton } from "../dom.js";
import { area, checkbox, labelled, line, number, select } from "./fields.js";

// SillyTavern's numbers, which its files and ours have in `extensions`.
const POSITIONS = [
  ["0", "Before the character"],
  ["1", "After the character"],
  ["4", "At a depth in the chat"],
  ["2", "Above the author's note"],
  ["3", "Below the author's note"],
  ["5", "Before the examples (after the character here)"],
  ["6", "After the examples (after the character here)"],
  ["7", "Where {{outlet::name}} stands"],
];
const LOGIC = [
  ["0", "Any of them is there"],
  ["3", "All of them are there"],
  ["2", "None of them is there"],
  ["1", "Not all of them are there"],
];
const ROLE_NUMBERS = [
  ["0", "Instruction"],
  ["1", "User"],
  ["2", "Character"],
];

/**
 * Draw the editor into the window `panel`. `done(book, everywhere)` is called with the changed book, or null.
 * `everywhere`: true or false for a separate book, null for that of a character.
 */
export function drawBookEditor(panel, title, book, done, { everywhere = null, actions = null } = {}) {
  const depth = number(book.scan_depth, { maximum: 1000 });
  const budget = number(book.token_budget, { maximum: 1_000_000 });
  const recursive = checkbox("Entries may bring in further entries", book.recursive_scanning ?? false);
  const always = checkbox("Use it in every chat", everywhere);
  const list = h("div", { class: "lore-list" });
  const entries = Object.values(book.entries ?? {}).filter((entry) => entry && typeof entry === "object");
  const editors = entries.map((entry, place) => entryEditor(entry, place));
  list.append(...editors.map(({ element }) => element));
  const add = textButton("Add an entry", () => {
    const place = editors.length;
    const fresh = { keys: [], content: "", enabled: true, insertion_order: 100, id: nextId(editors) };
    const made = entryEditor(fresh, place);
    editors.push(made);
    list.append(made.element);
    made.element.open = true;
    made.element.querySelector("input[type=text]").focus();
  });
  const collect = () => ({
    ...book,
    ...optional("scan_depth", depth.value),
    ...optional("token_budget", budget.value),
    ...(recursive.box.checked || "recursive_scanning" in book ? { recursive_scanning: recursive.box.checked } : {}),
    extensions: book.extensions ?? {},
    entries: editors.filter(({ element }) => element.isConnected).map(({ value }) => value()),
  });
  const onsubmit = (event) => {
    event.preventDefault();
    done(collect(), always.box.checked);
  };
  panel.fill(
    h("h3", { class: "lore-title", dir: "auto" }, title),
    actions,
    h(
      "form",
      { class: "card-form", onsubmit },
      everywhere === null ? null : always.row,
      recursive.row,
      h(
        "div",
        { class: "pair" },
        labelled("Messages searched for keys", depth, "Empty: 4."),
        labelled("Budget (tokens)", budget, "Empty: a quarter of the context."),
      ),
      list,
      h("div", { class: "row" }, add),
      h(
        "div",
        { class: "row form-end" },
        h("button", { type: "submit", class: "button primary" }, everywhere === null ? "Done" : "Save"),
        textButton("Cancel", () => done(null, false)),
      ),
    ),
  );
  (editors[0]?.element.querySelector("summary") ?? add).focus();
}

const optional = (name, text) => ({ [name]: text === "" ? undefined : Number(text) });
const nextId = (editors) => editors.reduce((most, { id }) => Math.max(most, Number(id) || 0), -1) + 1;

/** Return the form of one entry, and `value()`: the entry with what was changed. */
function entryEditor(entry, place) {
  const more = entry.extensions ?? {};
  const position = more.position ?? (entry.position === "after_char" ? 1 : 0);
  const name = line(textOf(entry.comment) || textOf(entry.name));
  const keys = line(keysOf(entry.keys).join(", "));
  const secondary = line(keysOf(entry.secondary_keys).join(", "));
  const content = area(textOf(entry.content), 4);
  const enabled = checkbox("On", entry.enabled !== false);
  const constant = checkbox("Always used", entry.constant);
  const cases = checkbox("Upper and lower case count", entry.case_sensitive ?? more.case_sensitive);
  const words = checkbox("Whole words only", more.match_whole_words ?? true);
  const quiet = checkbox("Brings in no further entries", more.prevent_recursion);
  const alone = checkbox("Is not brought in by other entries", more.exclude_recursion);
  const logic = select(LOGIC, String(more.selectiveLogic ?? 0));
  const where = select(POSITIONS, String(position));
  const depth = number(more.depth ?? 4);
  const role = select(ROLE_NUMBERS, String(more.role ?? 0));
  const order = number(entry.insertion_order ?? 100, { minimum: -100_000, maximum: 100_000, step: "any" });
  const chance = number(more.probability ?? 100, { maximum: 100 });
  const scan = number(more.scan_depth, { maximum: 1000 });
  const group = line(more.group);
  const title = h("span", { dir: "auto" }, label(entry, place));
  const remove = iconButton("trash", "Remove this entry", () => {
    const next = element.nextElementSibling ?? element.previousElementSibling;
    element.remove();
    next?.querySelector("summary").focus();
  });
  const element = h(
    "details",
    { class: "lore-entry" },
    h("summary", {}, title),
    h("div", { class: "row" }, enabled.row, constant.row, remove),
    labelled("Name", name, "For you; not part of the prompt."),
    labelled("Keys", keys, "Separated by commas. /cat|dog/i is a regular expression."),
    labelled("Text", content),
    h("div", { class: "pair" }, labelled("Secondary keys", secondary), labelled("Of these", logic)),
    h("div", { class: "pair" }, labelled("Place", where), labelled("Order", order, "Lower ones come first.")),
    h("div", { class: "pair" }, labelled("Depth", depth, "For entries at a depth."), labelled("As", role)),
    h(
      "div",
      { class: "pair" },
      labelled("Chance (%)", chance),
      labelled("Messages searched", scan, "Empty: as the book."),
    ),
    labelled("Group", group, "Of a group, one entry is used."),
    h("div", { class: "checks" }, words.row, cases.row, quiet.row, alone.row),
  );
  const shown = () => (title.textContent = label({ comment: name.value, name: "", keys: split(keys.value) }, place));
  for (const field of [name, keys]) field.addEventListener("input", shown);
  const [before, secondaryBefore] = [keys.value, secondary.value];
  const value = () => {
    const extensions = {
      ...more,
      ...changed(more, "position", Number(where.value), position),
      ...changed(more, "depth", Number(depth.value || 0), 4),
      ...changed(more, "role", Number(role.value), 0),
      ...changed(more, "selectiveLogic", Number(logic.value), 0),
      ...changed(more, "probability", Number(chance.value || 0), 100),
      ...changed(more, "scan_depth", scan.value === "" ? null : Number(scan.value), null),
      ...changed(more, "group", group.value, ""),
      ...changed(more, "match_whole_words", words.box.checked, true),
      ...changed(more, "prevent_recursion", quiet.box.checked, false),
      ...changed(more, "exclude_recursion", alone.box.checked, false),
    };
    return {
      ...entry,
      // Keys with commas, such as patterns, stay as they are unless they were changed.
      keys: keys.value === before ? (entry.keys ?? []) : split(keys.value),
      content: content.value,
      enabled: enabled.box.checked,
      insertion_order: Number(order.value || 0),
      ...changed(entry, "constant", constant.box.checked, false),
      ...changed(entry, "comment", name.value, textOf(entry.name)),
      ...changed(entry, "case_sensitive", cases.box.checked, more.case_sensitive ?? false),
      ...(secondary.value === secondaryBefore
        ? {}
        : { secondary_keys: split(secondary.value), selective: secondary.value.trim() !== "" }),
      position: { 0: "before_char", 1: "after_char" }[where.value] ?? entry.position,
      extensions,
    };
  };
  return { element, value, id: entry.id };
}

/** Return a change where the value differs from what the entry has, or from the default that it leaves out. */
const changed = (from, name, value, otherwise) => ((from[name] ?? otherwise) === value ? {} : { [name]: value });

const label = ({ comment, name, keys }, place) =>
  textOf(comment) || textOf(name) || keysOf(keys).join(", ") || `Entry ${place + 1}`;

// Books come from any program, so a value may be of any type.
const textOf = (value) => (typeof value === "string" ? value : "");

/** Return the keys in a list, or those that a text has between commas. */
function keysOf(value) {
  if (typeof value === "string") return split(value);
  return Array.isArray(value) ? value.filter((key) => ["string", "number"].includes(typeof key)) : [];
}

/** Split at commas, but not inside of /patterns/. */
function split(text) {
  const found = [];
  for (const part of text.split(",")) {
    const last = found.at(-1);
    if (last !== undefined && last.trim().startsWith("/") && !/\/[a-z]*$/.test(last.trim().slice(1)))
      found[found.length - 1] = `${last},${part}`;
    else found.push(part);
  }
  return found.map((part) => part.trim()).filter(Boolean);
}
