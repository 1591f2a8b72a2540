// The JavaScript of extensions. Each waits for what its extension draws, and fails alone, in words on its card.

import { $, arrival, post } from "./dom.js";

// What is not drawn by then is not waited for any longer.
const DRAWN_MS = 10_000;
const MOST_FAULTS = 20;
const FILE = /extension-([\w%.~!*'()-]+)\.js/;

const told = new Set();

/** Run the scripts that the page's head holds: [{ name, code }]. */
export function runExtensionScripts() {
  addEventListener("error", (event) => late(event.filename, event.error ?? event.message));
  addEventListener("unhandledrejection", (event) => late(event.reason?.stack, event.reason));
  for (const script of globalThis.extensionScripts ?? []) run(script);
}

async function run({ name, code }) {
  await drawn(name);
  const [extensions, chat_tab, notebook_tab] = ["extensions", "chat-tab", "notebook-tab"].map((id) => document.getElementById(id));
  // The names that scripts of text-generation-webui expect, `config` being what they watch changes with; its second
  // notebook has no counterpart.
  const config = { attributes: true, childList: true, subtree: true, characterData: true };
  const names = { main_parent: chat_tab.parentNode, extensions, chat_tab, notebook_tab, default_tab: notebook_tab, config };
  try {
    new Function(...Object.keys(names), `${code}\n//# sourceURL=extension-${encodeURIComponent(name)}.js`)(...Object.values(names));
  } catch (error) {
    tell(name, error);
  }
}

/** Wait for the extension's part of the page: the host names what is visible in it from the beginning. */
async function drawn(name) {
  const mark = $(`[data-drawn-by="${CSS.escape(name)}"]`);
  const ids = mark ? JSON.parse(mark.dataset.ids) : [];
  const late = new Promise((resolve) => setTimeout(resolve, DRAWN_MS));
  await Promise.race([late, Promise.all(ids.map((id) => arrival(`[id="${CSS.escape(id)}"]`)))]);
}

/** What fails later, in an event or a timer, is known by the file that it comes from. */
function late(place, error) {
  const found = FILE.exec(place ?? "");
  if (found) tell(decodeURIComponent(found[1]), error);
}

function tell(name, error) {
  console.error(`The extension ${name} failed:`, error);
  const text = String(error).slice(0, 500);
  if (told.size >= MOST_FAULTS || told.has(name + text)) return;
  told.add(name + text);
  post(`/extensions/${encodeURIComponent(name)}/fault`, { text }).then(() => $("#refresh-all")?.click(), () => {});
}
