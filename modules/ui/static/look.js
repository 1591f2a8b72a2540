// Applies the person's colours and sizes (look.py) to the page.

import { get } from "./requests.js";

const KEY = "paddock.look";

/** The look that is shown, and what the host said about it: the settings that it comes from. */
let shown = JSON.parse(localStorage.getItem(KEY) || "null") ?? { settings: "", look: {} };

/** Show the look again, for light or for dark. Before the host answers, the one of the last visit is shown. */
export function showLook() {
  const mode = document.body.classList.contains("dark") ? "dark" : "light";
  const variables = { ...shown.look.both, ...shown.look[mode] };
  for (const name of [...document.body.style])
    if (name.startsWith("--") && name !== "--toasts" && !(name in variables)) document.body.style.removeProperty(name);
  for (const [name, value] of Object.entries(variables))
    if (document.body.style.getPropertyValue(name) !== value) document.body.style.setProperty(name, value);
}

/** Read the look from the host, if its settings changed. */
export async function updateLook(settings) {
  const text = JSON.stringify(settings);
  if (text === shown.settings) return;
  const look = await get("/commands/look").catch(() => null);
  if (!look) return;
  shown = { settings: text, look };
  localStorage.setItem(KEY, JSON.stringify(shown));
  showLook();
}
