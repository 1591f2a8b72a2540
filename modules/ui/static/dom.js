// Make and find elements.

import { icon } from "./icons.js";

/**
 * Return the first element that the selector matches, or null.
 * @param {string} selector
 * @param {ParentNode} root
 * @returns {any}
 */
export const $ = (selector, root = document) => root.querySelector(selector);

/**
 * Return all elements that the selector matches, as an array.
 * @param {string} selector
 * @param {ParentNode} root
 * @returns {any[]}
 */
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/**
 * Return a new element. Texts always become text nodes, so text from outside never becomes markup here.
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {any[]} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "onsubmit") element.addEventListener("submit", onceAtATime(value));
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list" && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * Return the element that an event happened on. The document or the window have no `closest` and `matches`.
 * @param {Event} event
 * @returns {any}
 */
export const targetOf = (event) => event.target;

/**
 * Return a handler of clicks or submits that ignores those that come while it still works for an earlier one: a double
 * click would make a thing twice. The button stays enabled, because a disabled one loses the focus.
 * @param {(event: any) => any} run
 */
export function onceAtATime(run) {
  let working = false;
  return async (event) => {
    if (event?.type === "submit") event.preventDefault();
    if (working) return;
    const button = event?.submitter ?? event?.currentTarget;
    const result = run(event);
    working = result instanceof Promise;
    if (working && button?.matches("button")) button.setAttribute("aria-disabled", "true");
    try {
      await result;
    } finally {
      working = false;
      button?.removeAttribute?.("aria-disabled");
    }
  };
}

/**
 * Return a handler of clicks on a button whose second press is the answer to a question. The second click of a double
 * click is no answer.
 * @param {(event: any) => any} run
 */
export const onSingleClick = (run) => (event) => (event.detail > 1 ? undefined : run(event));

/** Empty a field whose text was stored, unless something else was typed in the time between. */
export const clearSent = (field, sent) => field.value === sent && (field.value = "");

/**
 * Return a button with a text. `kind` is its class beside "button"; the rest are attributes.
 * @param {string} label
 * @param {(event: any) => void} onclick
 * @param {Record<string, any>} options
 */
export function textButton(label, onclick, { kind = "", ...extra } = {}) {
  const attributes = { type: "button", class: kind ? `button ${kind}` : "button", onclick: onceAtATime(onclick) };
  return h("button", { ...attributes, ...extra }, label);
}

/** Return the facts of a label, such as "21 bytes · 5 tokens", as separate texts that translations know. */
export const factsOf = (label) => label.split(/( · )/);

/**
 * Return a label of facts in a message or beside a name. Its words are the page's, and leave the direction of the
 * message alone.
 * @param {string} kind Its class.
 * @param {string} label
 */
export const drawFacts = (kind, label) =>
  h("span", { class: kind, dir: "auto", translate: "yes" }, factsOf(label));

/** Return a button that shows an icon. Its label is for screen readers, and its tooltip. */
export function iconButton(name, label, onclick, extra = {}) {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, "data-icon": name, onclick, ...extra },
    icon(name),
  );
}

/**
 * Resolve with the element once it is in the page: Gradio draws most of them late.
 * @param {string} selector
 * @returns {Promise<any>}
 */
export function whenPresent(selector) {
  return new Promise((resolve) => {
    const look = () => {
      const found = $(selector);
      if (found) (observer.disconnect(), resolve(found));
      return found;
    };
    const observer = new MutationObserver(look);
    if (!look()) observer.observe(document.documentElement, { childList: true, subtree: true });
  });
}
