// Announces to screen readers that a reply is complete, once. The chat itself is silent; it grows word by word.

import { $, h } from "./dom.js";

// A longer reply is cut: the person can read the rest in the chat.
const LONGEST = 600;

let region = null;

/** Let screen readers say a text after what they say now. */
export function announce(text) {
  region ??= document.body.appendChild(h("div", { id: "announcer", class: "visually-hidden", role: "status" }));
  // The same text twice is said twice only if the region was empty in between.
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text));
}

/** Say the beginning of a message that was just completed. */
export function announceReply(message) {
  const body = message && $(".message-body", message);
  const text = body ? body.innerText.replace(/\s+/g, " ").trim() : "";
  const error = message && $(".reply-error p", message);
  // An error is a separate alert.
  if (error || !text) return;
  announce(text.length > LONGEST ? `Reply: ${text.slice(0, LONGEST)} …` : `Reply: ${text}`);
}
