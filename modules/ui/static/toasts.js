// Short messages at the bottom of the page.

import { $, $$, h, iconButton } from "./dom.js";

export const DISCONNECTED = "Paddock is not running. Start it again in the terminal. Your text is kept.";
const MILLISECONDS = 7000;
const ERROR_MILLISECONDS = 12_000;

/** Return the toasts that show this text. */
const toastsWith = (text) => $$("#toasts .toast").filter((note) => textOf.get(note) === text);

// Toast -> its text in English, which the page may show in another language.
const textOf = new WeakMap();

// Toast -> the timer that removes it.
const timers = new WeakMap();

/** Show a short message. `action`, {label, run}, adds a button. A text that is already shown is not shown twice. */
export function toast(text, { action = null, error = false, detail = "" } = {}) {
  // Each toast with a button undoes another action.
  const same = error || !action ? toastsWith(text) : [];
  if (!action && same.length) return startTimer(same[0]);
  for (const old of same) old.remove();
  const note = h("div", { class: error ? "toast error" : "toast" }, h("span", {}, text));
  textOf.set(note, text);
  if (detail) note.append(h("details", {}, h("summary", {}, "Details"), h("pre", {}, detail)));
  if (action) {
    const run = () => (note.remove(), action.run());
    note.append(h("button", { type: "button", class: "text-button", onclick: run }, action.label));
  }
  note.append(iconButton("close", "Dismiss", () => note.remove()));
  shelf().append(note);
  startTimer(note);
}

/** Remove the toast after a while. One with details, or about the connection, stays. */
function startTimer(note) {
  clearTimeout(timers.get(note));
  if ($("details", note) || textOf.get(note) === DISCONNECTED) return;
  // It also stays while the pointer or the keyboard's focus is on it: someone may be about to press its button.
  const expire = () => (note.matches(":hover, :focus-within") ? startTimer(note) : note.remove());
  timers.set(note, setTimeout(expire, note.classList.contains("error") ? ERROR_MILLISECONDS : MILLISECONDS));
}

const element = h("div", { id: "toasts", role: "status", "aria-live": "polite" });

/**
 * Return the element that holds all toasts. It is in the open window, if there is one: behind that, the page is
 * covered, takes no clicks and is silent.
 */
function shelf() {
  const place = $$("dialog:modal").at(-1) ?? document.body;
  if (element.parentElement === place) return element;
  place.append(element);
  // A window may be removed when it closes.
  const leave = () => element.parentElement === place && document.body.append(element);
  if (place !== document.body) place.addEventListener("close", leave, { once: true });
  return element;
}

/** Remove the toasts that show this text, because it is no longer true. */
export function removeToast(text) {
  for (const note of toastsWith(text)) note.remove();
}

/** Show that the host does not answer, until `removeDisconnected` is called. */
export const showDisconnected = () => toast(DISCONNECTED, { error: true });
export const removeDisconnected = () => removeToast(DISCONNECTED);

/** Show the toasts that events of forms send (`toast` in event_feedback.py). */
export function showToastsOfEvents() {
  // Screen readers announce what is put into a region that is there already.
  shelf();
  addEventListener("paddock-toast", (/** @type {CustomEvent} */ event) => {
    if (!event.detail) return;
    const { text, error, undo } = JSON.parse(event.detail);
    toast(text, { error, action: undo && { label: "Undo", run: () => $(`#${undo}`).click() } });
  });
}
