// The scripts of extensions. Each runs once its extension's components are drawn. If it fails, its card says why.

import { $, whenPresent } from "./dom.js";
import { post } from "./requests.js";

// How long a script waits for its extension's components.
const DRAWN_MS = 10_000;
const MAX_FAULTS = 20;
const FILE = /extension-([\w%.~!*'()-]+)\.js/;

const reported = new Set();

/** Run the scripts that the page's head holds: [{ name, code }]. */
export function runExtensionScripts() {
  addEventListener("error", (event) => reportByFile(event.filename, event.error ?? event.message));
  addEventListener("unhandledrejection", (event) => reportByFile(event.reason?.stack, event.reason));
  for (const script of globalThis.extensionScripts ?? []) run(script);
}

async function run({ name, code }) {
  await drawn(name);
  const [extensions, chat_tab, notebook_tab] = ["extensions", "chat-tab", "notebook-tab"].map((id) =>
    document.getElementById(id),
  );
  // The names that scripts of text-generation-webui use. `config` is for their MutationObservers. Its second notebook
  // does not exist here.
  const config = { attributes: true, childList: true, subtree: true, characterData: true };
  const names = {
    main_parent: chat_tab.parentNode,
    extensions,
    chat_tab,
    notebook_tab,
    default_tab: notebook_tab,
    config,
  };
  try {
    new Function(...Object.keys(names), `${code}\n//# sourceURL=extension-${encodeURIComponent(name)}.js`)(
      ...Object.values(names),
    );
  } catch (error) {
    report(name, error);
  }
}

/** Wait until the extension's components are drawn. The host lists those that are visible from the beginning. */
async function drawn(name) {
  const mark = $(`[data-drawn-by="${CSS.escape(name)}"]`);
  const ids = mark ? JSON.parse(mark.dataset.ids) : [];
  const timeout = new Promise((resolve) => setTimeout(resolve, DRAWN_MS));
  await Promise.race([timeout, Promise.all(ids.map((id) => whenPresent(`[id="${CSS.escape(id)}"]`)))]);
}

/** Report an error that is raised later, in an event or a timer. Its file name says which extension's it is. */
function reportByFile(file, error) {
  const found = FILE.exec(file ?? "");
  if (found) report(decodeURIComponent(found[1]), error);
}

/** Send an error to the host, which shows it on the extension's card. */
function report(name, error) {
  console.error(`The extension ${name} failed:`, error);
  const text = String(error).slice(0, 500);
  if (reported.size >= MAX_FAULTS || reported.has(name + text)) return;
  reported.add(name + text);
  post(`/extensions/${encodeURIComponent(name)}/fault`, { text }).then(
    () => $("#refresh-all")?.click(),
    () => {},
  );
}
