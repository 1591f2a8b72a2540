// Shows the page's own texts in the person's language.
//
// Scripts, forms and the host write English. Here every text of the page that the catalog has is replaced where it is
// shown; a text without a translation stays English. What people, models and files wrote is never replaced.

import { address, get } from "../requests.js";
import { isName, translateChosen } from "./choices.js";
import { Phrases } from "./phrases.js";

// Texts from outside: messages, titles of chats, names, code. What Paddock writes into them is marked as its own.
const FOREIGN = [
  "[translate=no]",
  ".message-body",
  ".chat-open",
  "#chat-heading",
  ".palette-row [translate=no]",
  ".attached",
  ".attachment-name",
  ".summary-text",
  ".edit-area",
  ".extension",
  ".extension-view",
  "pre",
  "code",
  "kbd",
  "textarea",
  "script",
  "style",
].join(", ");
const OWN = "[translate=yes]";
const MARKED = `${FOREIGN}, ${OWN}`;
const ATTRIBUTES = ["aria-label", "title", "placeholder", "alt"];
const WITH_ATTRIBUTES = ATTRIBUTES.map((name) => `[${name}]`).join(", ");

/** @type {Phrases | null} */
let phrases = null;

/** Load the person's language, and translate the page now and whenever it changes. Does nothing for English. */
export async function translatePage() {
  // Without the host, the page is shown in English.
  const answer = await get("/commands/language").catch(() => null);
  if (!answer || answer.language === "en") return;
  const response = await fetch(address(`/static/locales/${answer.language}.json`)).catch(() => null);
  if (!response?.ok) return;
  phrases = new Phrases(await response.json());
  document.documentElement.lang = answer.language;
  document.documentElement.dir = answer.direction;
  translateTree(document.body);
  const watched = { childList: true, subtree: true, characterData: true, attributeFilter: ATTRIBUTES };
  new MutationObserver(translateChanges).observe(document.body, watched);
}

function translateChanges(changes) {
  for (const { type, target, addedNodes, attributeName } of changes) {
    if (type === "childList") addedNodes.forEach(translateTree);
    else if (type === "characterData") translateText(target);
    else translateAttribute(target, attributeName);
  }
}

/** Return true if a text in this element is from outside. The nearest element that is marked decides. */
function isForeign(element) {
  const nearest = element.closest(MARKED);
  return nearest !== null && !nearest.matches(OWN);
}

/** Translate a node and everything in it that is Paddock's own. */
function translateTree(node) {
  if (node.nodeType === Node.TEXT_NODE) return translateText(node);
  if (node.nodeType !== Node.ELEMENT_NODE) return;
  if (!isForeign(node)) translateOwn(node);
  for (const part of node.querySelectorAll(OWN)) translateOwn(part);
}

function translateOwn(node) {
  const accept = (one) => {
    if (one.nodeType !== Node.ELEMENT_NODE) return NodeFilter.FILTER_ACCEPT;
    return one.matches(FOREIGN) || one.matches(OWN) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_SKIP;
  };
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, accept);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  texts.forEach(replace);
  for (const element of [node, ...node.querySelectorAll(WITH_ATTRIBUTES)])
    for (const name of ATTRIBUTES) translateAttribute(element, name);
  translateChosen(node, (text) => phrases.find(text));
}

function translateText(node) {
  if (node.parentElement && !isForeign(node.parentElement)) replace(node);
}

function replace(node) {
  if (isName(node.parentElement, node.data)) return;
  const found = phrases.find(node.data);
  // The same text again would be a change that the observer sees for ever.
  if (found !== null && found !== node.data) node.data = found;
}

function translateAttribute(element, name) {
  // Forms find an option by its label. A field or a block has a label of the page, though its text is foreign.
  if (!element.hasAttribute(name) || element.matches("[role=option]")) return;
  if (isForeign(element.matches("textarea, pre") ? element.parentElement : element)) return;
  const text = element.getAttribute(name);
  const found = phrases.find(text);
  if (found !== null && found !== text) element.setAttribute(name, found);
}
