// Form fields of the Workshop: a label around each control.

import { h } from "../dom.js";

/** Return a label with its control, and a text that explains it. */
export function labelled(label, control, help = "") {
  return h("label", { class: "field" }, h("span", {}, label), control, help && h("small", {}, help));
}

/** Return a label with a checkbox before it, and a text that explains it. */
export function ticked(box, label, help = "") {
  return h("label", { class: "field check" }, box, h("span", {}, label), help && h("small", {}, help));
}

/** Return a dropdown. `options`: [value, text] pairs. */
export function dropdown(options, value, onchange = null) {
  const items = options.map(([key, text]) => h("option", { value: key, selected: key === value }, text));
  return h("select", { onchange }, items);
}

/** Show other options in a dropdown, and keep what was chosen where it is still there. */
export function setOptions(select, options, fallback = "") {
  const before = select.value;
  select.replaceChildren(...options.map(([key, text]) => h("option", { value: key }, text)));
  const keys = options.map(([key]) => key);
  select.value = keys.includes(before) ? before : keys.includes(fallback) ? fallback : (keys[0] ?? "");
}

/** Return a field for one setting of a schema: {node, value(), changed()}. changed() is null for the default value. */
export function settingField(setting, given) {
  const start = given ?? setting.default;
  const shown = start === null ? "" : String(start);
  const label = setting.unit ? `${setting.label} (${setting.unit})` : setting.label;
  if (setting.kind === "bool") {
    const box = h("input", { type: "checkbox", checked: Boolean(start) && shown !== "false" });
    const node = ticked(box, label, setting.help);
    const value = () => String(box.checked);
    return { node, value, changed: () => (box.checked === Boolean(setting.default) ? null : value()) };
  }
  const numeric = ["int", "float"].includes(setting.kind) && !setting.optional;
  const control = setting.choices.length
    ? dropdown(
        setting.choices.map((one) => [String(one), String(one)]),
        shown,
      )
    : h("input", {
        type: numeric ? "number" : "text",
        value: shown,
        min: setting.minimum,
        max: setting.maximum,
        step: setting.step ?? (setting.kind === "float" ? "any" : null),
        autocomplete: "off",
      });
  const first = setting.default === null ? "" : String(setting.default);
  const value = () => control.value.trim();
  const changed = () => (value() === first ? null : value());
  return { node: labelled(label, control, setting.help), value, changed };
}
