// Copy text.

import { $, h, targetOf } from "./dom.js";
import { toast } from "./toasts.js";

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(await text);
  } catch {
    // Browsers have no clipboard object on an insecure origin, such as plain HTTP to another machine.
    const area = h("textarea", { style: "position:fixed;opacity:0" });
    area.value = await text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast("Copied.");
}

/** Let the buttons of code blocks copy their code. */
export function copyCodeOnClick() {
  document.addEventListener("click", (event) => {
    const button = targetOf(event).closest?.(".copy-code");
    if (button) copyText($("pre", button.closest(".code")).textContent);
  });
}
