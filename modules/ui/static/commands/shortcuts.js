// Runs commands by their keys.
//
// Keys with Ctrl work everywhere. Single keys work only outside of fields and windows, and can be switched off (WCAG
// 2.1.4): speech input may type them by accident. Screen readers keep single keys to themselves while they browse.

import { targetOf } from "../dom.js";
import { commandsWithKeys } from "../commands.js";

const OFF = "paddock.single-keys-off";
const TYPING = "input, textarea, select, [contenteditable], [role=textbox], [role=combobox], [role=listbox]";
const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);

export const singleKeys = {
  get on() {
    return localStorage.getItem(OFF) !== "true";
  },
  set on(value) {
    if (value) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "true");
  },
};

/**
 * Return the keys as a person reads them on this computer, one text for each key.
 * @param {string} keys
 */
export const keyNames = (keys) =>
  keys.split("+").map((key) => (key === "Mod" ? (IS_MAC ? "⌘" : "Ctrl") : key.length === 1 ? key.toUpperCase() : key));

/** Listen for the keys of all commands. */
export function listenForShortcuts() {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.repeat) return;
    const pressed = keysOf(event);
    const command = pressed && commandsWithKeys().find(({ keys }) => keys === pressed);
    if (!command || (command.available && !command.available())) return;
    if (!pressed.startsWith("Mod+") && !mayRunSingleKey(targetOf(event))) return;
    // A modal window keeps the keys for itself, except for those of the palette, which closes with its own key.
    if (document.querySelector("dialog:modal") && !command.keys.startsWith("Mod+")) return;
    event.preventDefault();
    command.run();
  });
}

/** Return the pressed keys as commands name them, or "" if no command can have them. */
function keysOf(event) {
  const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
  if (altKey || key.length !== 1) return "";
  const mod = IS_MAC ? metaKey : ctrlKey;
  if (mod) return shiftKey || (IS_MAC ? ctrlKey : metaKey) ? "" : `Mod+${key.toUpperCase()}`;
  // With Shift, a letter is no shortcut, but "?" needs Shift on most keyboards.
  return ctrlKey || metaKey || (shiftKey && /\p{L}/u.test(key)) ? "" : key;
}

function mayRunSingleKey(target) {
  if (!singleKeys.on || target.isContentEditable) return false;
  return !target.closest?.(TYPING) && !document.querySelector("dialog[open]");
}
