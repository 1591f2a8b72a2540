// Thumbs up and down below a reply. Rated chats can be exported as data for training.

import { iconButton } from "../dom.js";

/** Return the two buttons. Pressing the one that is pressed takes the rating back. */
export function ratingButtons(card, actions) {
  const button = (icon, label, rating) => {
    const on = card.rating === rating;
    const extra = { class: on ? "icon-button rated" : "icon-button", "aria-pressed": String(on) };
    return iconButton(icon, label, () => actions.rate(card, on ? 0 : rating), extra);
  };
  return [button("thumbUp", "Good reply", 1), button("thumbDown", "Bad reply", -1)];
}
