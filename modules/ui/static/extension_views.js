// The views of extensions: each gets a button in the header, beside Chat and Notebook.

import { $, $$, h, whenPresent } from "./dom.js";

/** Add the buttons. shell.js treats them like those of the page's own views. */
export async function addExtensionViews() {
  await whenPresent("#extensions-end");
  for (const style of $$("style.extension-css")) if (style.sheet) raise(style.sheet.cssRules);
  const views = $$(".extension-view");
  for (const view of views) {
    const title = $(".extension-title", view).textContent;
    $(".views").append(h("button", { type: "button", "data-view": view.id, "aria-pressed": "false" }, title));
  }
  const show = () => views.forEach((view) => view.classList.toggle("shown", view.id === document.body.dataset.view));
  if (views.length) new MutationObserver(show).observe(document.body, { attributeFilter: ["data-view"] });
}

/** Raise the specificity of an extension's CSS rules above that of the page's own sheets. */
function raise(rules) {
  const raised = (selector) => `:root:not(#none):not(#none) ${selector}, ${selector}`;
  for (const rule of rules) {
    if (rule.selectorText)
      rule.selectorText = rule.selectorText
        .split(/,(?![^(]*\))/)
        .map((one) => raised(one.trim()))
        .join(", ");
    else if (rule.cssRules) raise(rule.cssRules);
  }
}
