// Puts a message into a chat anywhere: from the user, from a character, or from a narrator.

import { $, h, textButton } from "../dom.js";
import { attempt, post } from "../requests.js";
import { area, labelled, select } from "./fields.js";

/** Ask for a message, and put it below the one of this card. `speakers`: names of characters in the chat. */
export function insertBelow(chat, card, speakers) {
  const options = [
    ["user", "You"],
    ...speakers.map((name) => [`as ${name}`, name]),
    ["assistant", "The model"],
    ["system", "A narrator"],
  ];
  const from = select(options, "user");
  const text = area("", 4);
  const onsubmit = async (event) => {
    event.preventDefault();
    const speaker = speakers.find((name) => from.value === `as ${name}`) ?? "";
    const body = { after: card.id, role: speaker ? "assistant" : from.value, text: text.value, speaker };
    if (await attempt(() => post(`/chats/${encodeURIComponent(chat)}/insert`, body))) dialog.close();
  };
  const dialog = h(
    "dialog",
    { class: "sheet insert-sheet", "aria-labelledby": "insert-heading" },
    h(
      "form",
      { onsubmit },
      h("h2", { id: "insert-heading" }, "Put in a message"),
      labelled("From", from),
      labelled("Text", text, "The messages after it follow it. The order before stays as another version."),
      h(
        "div",
        { class: "row" },
        h("button", { type: "submit", class: "button primary" }, "Put it in"),
        textButton("Cancel", () => dialog.close()),
      ),
    ),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    $(`[data-id="${CSS.escape(card.id)}"] [aria-label="Put in a message below"]`)?.focus({ preventScroll: true });
  });
  document.body.append(dialog);
  dialog.showModal();
  text.focus();
}
