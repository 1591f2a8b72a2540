// Fields of the forms for characters, personas and lorebooks.

import { h } from "../dom.js";
import { address } from "../requests.js";

/** Return a labelled element. `about` explains it. */
export function labelled(label, field, about = "") {
  return h(
    "label",
    { class: "chat-field" },
    h("span", {}, label),
    field,
    about ? h("span", { class: "about" }, about) : null,
  );
}

/** Return a line of text. */
export function line(value, options = {}) {
  const field = h("input", { type: "text", dir: "auto", autocomplete: "off", ...options });
  field.value = value ?? "";
  return field;
}

/** Return a field for several lines, which grows with its text. */
export function area(value, rows = 3, options = {}) {
  const field = h("textarea", { rows: String(rows), dir: "auto", spellcheck: "true", ...options });
  field.value = value ?? "";
  return field;
}

/**
 * Return a field for a number.
 * @param {unknown} value
 * @param {{ minimum?: number, maximum?: number, step?: number | string }} limits
 */
export function number(value, { minimum = 0, maximum = 10_000, step = 1 } = {}) {
  const field = h("input", { type: "number", min: String(minimum), max: String(maximum), step: String(step) });
  field.value = value === null || value === undefined ? "" : String(value);
  return field;
}

/**
 * Return a switch with its label beside it.
 * @param {string} label
 * @param {unknown} checked
 * @param {(on: boolean) => void} onchange
 */
export function checkbox(label, checked, onchange = () => {}) {
  const box = h("input", { type: "checkbox", checked: Boolean(checked) });
  box.addEventListener("change", () => onchange(box.checked));
  return { box, row: h("label", { class: "check-row" }, box, h("span", { dir: "auto" }, label)) };
}

/**
 * Return a list to choose from. `options`: [value, label] each.
 * @param {string[][]} options
 * @param {string} value
 * @param {(value: string) => void} onchange
 */
export function select(options, value, onchange = () => {}) {
  const known = options.some(([name]) => name === value);
  const all = known ? options : [...options, [value, `${value} (missing)`]];
  const field = h(
    "select",
    {},
    all.map(([name, label]) => h("option", { value: name }, label)),
  );
  field.value = value;
  field.addEventListener("change", () => onchange(field.value));
  return field;
}

/** Ask for files. `accept` is that of an input element. */
export function chooseFiles(accept, multiple, take) {
  const field = h("input", { type: "file", accept, multiple });
  field.addEventListener("change", () => field.files.length && take([...field.files]));
  field.click();
}

export const ROLES = [
  ["system", "Instruction"],
  ["user", "User"],
  ["assistant", "Character"],
];

/** Return a link that downloads a file. */
export function download(path, label, name) {
  return h("a", { class: "button", href: address(path), download: name }, label);
}
