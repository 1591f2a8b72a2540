// Views of extensions: a button in the header for each, beside Chat and Notebook.

import { $, arrival, h } from "./dom.js";

/** Let the styles of extensions win over the page's own, whose selectors weigh more than those that people write. */
function lift(rules) {
  for (const rule of rules) {
    if (rule.selectorText)
      rule.selectorText = rule.selectorText.split(/,(?![^(]*\))/).map((one) => `:root:not(#none):not(#none) ${one.trim()}, ${one.trim()}`).join(", ");
    else if (rule.cssRules) lift(rule.cssRules);
  }
}

/** Add the buttons; the frame takes them for views like the others. */
export async function addExtensionViews() {
  await arrival("#extensions-end");
  for (const style of document.querySelectorAll("style.extension-css")) if (style.sheet) lift(style.sheet.cssRules);
  const views = [...document.querySelectorAll(".extension-view")];
  for (const view of views) {
    const title = $(".extension-title", view).textContent;
    $(".views").append(h("button", { type: "button", "data-view": view.id, "aria-pressed": "false" }, title));
  }
  const show = () => views.forEach((view) => view.classList.toggle("shown", view.id === document.body.dataset.view));
  if (views.length) new MutationObserver(show).observe(document.body, { attributeFilter: ["data-view"] });
}
