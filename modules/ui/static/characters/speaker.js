// What a message shows of characters: who speaks, and which entries of lorebooks its prompt had.

import { h } from "../dom.js";
import { avatar } from "./avatar.js";

/** Return the speaker's picture and name, or null. */
export function drawSpeaker({ speaker }) {
  if (!speaker) return null;
  const name = h("span", { dir: "auto", translate: "no" }, speaker);
  return h("div", { class: "speaker" }, avatar("characters", speaker), name);
}

/** Return the entries of lorebooks that a reply's prompt had, or null. */
export function drawLore({ lore }) {
  if (!lore?.length) return null;
  const row = ({ book, entry, why }) => h("li", { dir: "auto", translate: "no" }, `${book}: ${entry} (${why})`);
  const rows = lore.map(row);
  const count = lore.length === 1 ? "1 lorebook entry" : `${lore.length} lorebook entries`;
  return h("details", { class: "lore-used" }, h("summary", {}, `${count} used`), h("ul", {}, rows));
}

/** Return the class and the label of a message's element. */
export function messageNames({ role, narrator, speaker }) {
  const name = role === "user" ? "You" : narrator ? "Narrator" : speaker || "Reply";
  return { class: narrator ? `message ${role} narrator` : `message ${role}`, "aria-label": name };
}
