// One row of the list of chats.

import { h, iconButton } from "../dom.js";
import { openMenu } from "../menu.js";
import { chatItems } from "./chat_menu.js";

/** Return the row of a chat. `sidebar` has what its buttons do. */
export function chatRow(sidebar, chat) {
  const current = chat.id === sidebar.current();
  const answering = sidebar.answering.has(chat.id);
  if (sidebar.selected) return selectRow(sidebar, chat);
  const more = iconButton(
    "more",
    `More for ${chat.label}`,
    () => openMenu(more, `Chat ${chat.label}`, chatItems(sidebar, chat)),
    { "aria-haspopup": "menu" },
  );
  return h(
    "div",
    { class: current ? "chat-row current" : "chat-row", "data-chat": chat.id, "data-row": chat.id },
    h(
      "button",
      {
        type: "button",
        class: "chat-open",
        dir: "auto",
        "aria-current": current ? "true" : false,
        title: [chat.label, ...chat.tags.map((tag) => `#${tag}`)].join("  "),
        onclick: () => sidebar.open(chat.id),
        ondblclick: () => sidebar.rename(chat),
      },
      answering ? h("span", { class: "answering", role: "img", "aria-label": "Being answered" }) : null,
      chat.label,
    ),
    iconButton("edit", `Rename ${chat.label}`, () => sidebar.rename(chat)),
    iconButton("trash", chat.temporary ? `Forget ${chat.label}` : `Delete ${chat.label}`, () => sidebar.remove(chat)),
    more,
  );
}

function selectRow(sidebar, chat) {
  const box = h("input", { type: "checkbox", checked: sidebar.selected.has(chat.id) });
  box.addEventListener("change", () => sidebar.mark(chat.id, box.checked));
  return h(
    "div",
    { class: "chat-row selecting", "data-chat": chat.id, "data-row": chat.id },
    h("label", { class: "chat-open", dir: "auto" }, box, chat.label),
  );
}

/** Return the messages that a search found in a chat. Each opens the chat there. */
export function hitRows(sidebar, hits) {
  return hits.map((hit) => {
    const onclick = () => sidebar.openAt(hit.chat, hit.message);
    const who = h("span", { class: "who" }, hit.role === "user" ? "You: " : "Reply: ");
    const text = marked(hit.excerpt, sidebar.search.value);
    const button = h("button", { type: "button", class: "chat-hit", dir: "auto", onclick }, who, ...text);
    return h("div", { "data-row": `${hit.chat} ${hit.message}` }, button);
  });
}

/** Return the text in pieces, with the searched words marked. */
function marked(text, search) {
  const words = search.trim().split(/\s+/).filter(Boolean);
  if (!words.length) return [text];
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const parts = text.split(new RegExp(`(${escaped.join("|")})`, "i"));
  return parts.map((part, place) => (place % 2 ? h("mark", {}, part) : part));
}
