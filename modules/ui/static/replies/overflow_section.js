// A section of the panel "This chat": what happens when it no longer fits into the context.

import { addChatSection } from "../chat_panel.js";
import { h } from "../dom.js";
import { choice } from "../order/settings_section.js";

const CHOICES = [
  ["", "As on the Session tab"],
  ["cut", "Leave out the oldest messages"],
  ["summarize", "Leave them out, and let the model summarize them"],
  ["refuse", "Refuse the message"],
];

function draw(body, chat) {
  const select = choice(CHOICES, chat.settings.overflow ?? "", (value) => chat.change({ overflow: value || null }));
  select.setAttribute("aria-label", "When this chat is longer than the context");
  body.append(h("label", { class: "chat-field" }, select));
}

/** Add the section. */
export const addOverflowSection = () => addChatSection("When it is longer than the context", draw, { order: 45 });
