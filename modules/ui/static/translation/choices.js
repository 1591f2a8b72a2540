// Gradio's dropdowns: what is chosen stands in a field, and the names among the choices are the same in each language.

// Each dropdown of names, with those of its choices that are the page's own words.
const NAMES = {
  "model-choice": [],
  preset: ["Neutral"],
  "session-character": ["None"],
  "session-language": ["As the browser asks for"],
  "template-choice": ["From the model", "Edited"],
};
// What a setting can be is named in its help, in files and on the command line too.
const SETTING = ".setting";
const FIELDS = [...Object.keys(NAMES).map((id) => `#${id}`), SETTING].join(", ");
const CHOSEN = "input[role=combobox]";

/** Return true if a text in this element is a choice with a name. */
export function isName(element, text) {
  const field = element.closest(`[role=option], ${CHOSEN}`) && element.closest(FIELDS);
  return Boolean(field) && !NAMES[field.id]?.includes(text.trim());
}

/** Show what is chosen in the dropdowns below `element` with `translate(text)`. Gradio reads its own text there. */
export function translateChosen(element, translate) {
  for (const input of element.querySelectorAll(CHOSEN)) if (!Object.hasOwn(input, "value")) follow(input, translate);
}

function follow(input, translate) {
  const own = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
  let written = "";
  let shown = "";
  Object.defineProperty(input, "value", {
    configurable: true,
    // What the person typed is what the field shows.
    get: () => (own.get.call(input) === shown ? written : own.get.call(input)),
    set(text) {
      written = `${text ?? ""}`;
      shown = (!isName(input, written) && translate(written)) || written;
      own.set.call(input, shown);
    },
  });
  input.value = own.get.call(input);
}
