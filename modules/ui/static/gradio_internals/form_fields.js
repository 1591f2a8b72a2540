// Reads and sets the fields that Gradio draws. Leans on Gradio's elements, and on the DOM events that they answer to.

import { $$ } from "../dom.js";

/** Matches the button that opens and closes an accordion. It has the class `open` while that is open. */
export const ACCORDION = "button.label-wrap";
/** Ids that Gradio makes from a counter. The same component has another one in another build of the page. */
export const COUNTED_ID = /^(component|range_id)[-_]\d+$/;
const SLIDER_NUMBER = "#drawer .setting .tab-like-container input[type=number]";

/** Set a field's text the way typing does. Svelte listens to `input`, and a framework's own setter must not see it. */
export function typeInto(field, text) {
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value").set.call(field, text);
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Set a field's text and leave it, as a person does who typed it. */
export function enterValue(field, text) {
  typeInto(field, text);
  field.dispatchEvent(new Event("change", { bubbles: true }));
  if (field.type === "number" || field.type === "range") releaseSlider(field);
}

/** Choose a value from a dropdown. `until` waits until its argument returns something. */
export async function chooseOption(field, value, until) {
  const options = () => $$("ul[role=listbox] [role=option]");
  // The list opens when the field gets the focus.
  field.focus();
  const option = await until(() => options().find((one) => one.getAttribute("aria-label") === value));
  option?.dispatchEvent(new MouseEvent("mousedown", { bubbles: true, cancelable: true }));
  field.blur();
}

/** Return true if the field is a dropdown. */
export const isDropdown = (field) => field.matches("[role=combobox], [role=listbox]");

/**
 * Send a number that is out of range to the host as it was typed, which answers why it is wrong. Without this, Gradio's
 * slider replaces it with the end of its range, and a load would use that.
 */
export function sendInvalidNumbers() {
  const leave = (event) => {
    const field = event.target;
    if (!field.matches?.(SLIDER_NUMBER)) return;
    const { rangeUnderflow, rangeOverflow } = field.validity;
    if (field.value && !rangeUnderflow && !rangeOverflow) return;
    event.stopImmediatePropagation();
    releaseSlider(field);
  };
  addEventListener("blur", leave, { capture: true });
}

/** Fire the event with which Gradio's slider notices that a change of it has ended. */
const releaseSlider = (field) => field.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
