// A window over the page, which is a sheet from the bottom on a phone. It is gone when it closes.

import { h, iconButton } from "../dom.js";

let count = 0;

/** Open a window with this title. `fill(body, close)` fills its empty body. Return the dialog. */
export function openSheet(title, fill) {
  const id = `sheet-${++count}`;
  const body = h("div", { class: "sheet-body" });
  const dialog = h("dialog", { class: "sheet", "aria-labelledby": id });
  const close = () => dialog.close();
  dialog.append(h("div", { class: "window-head" }, h("h2", { id }, title), iconButton("close", "Close", close)), body);
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  dialog.addEventListener("close", () => dialog.remove());
  fill(body, close);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Ask for one line of text. `save(text)` resolves to false if it could not be used: the window stays open then.
 */
export function askText(title, { label, value = "", button = "Save", help = "" }, save) {
  openSheet(title, (body, close) => {
    const field = h("input", { type: "text", dir: "auto", autofocus: true, value, maxlength: "400" });
    const about = help ? h("span", { class: "about" }, help) : null;
    const submit = async (event) => {
      event.preventDefault();
      if ((await save(field.value)) !== false) close();
    };
    body.append(
      h(
        "form",
        { onsubmit: submit },
        h("label", { class: "chat-field" }, h("span", {}, label), field, about),
        h("button", { type: "submit", class: "button primary" }, button),
      ),
    );
  });
}
