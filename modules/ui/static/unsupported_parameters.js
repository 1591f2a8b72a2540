// Shows and hides the parameters that the loaded model's loader does not support.

import { targetOf } from "./dom.js";

/** Let the button on the Parameters tab show them, or hide them again. */
export function toggleUnsupportedParameters() {
  addEventListener("click", (event) => {
    const button = targetOf(event).closest?.("[data-show-unsupported]");
    if (!button) return;
    const shown = document.body.classList.toggle("show-unsupported");
    button.setAttribute("aria-pressed", String(shown));
    button.textContent = button.textContent.replace(shown ? /^Show/ : /^Hide/, shown ? "Hide" : "Show");
  });
}
