// The note of a temporary chat, with what can be done about it.

import { $, h, textButton } from "../dom.js";
import { keepChat } from "./chat_menu.js";

/** Show the note above the messages if the open chat is temporary. */
export function showTemporary(sidebar, id) {
  const chat = sidebar.chats.find((one) => one.id === id);
  const shown = $(".temporary-note");
  if (!chat?.temporary) return shown?.remove();
  if (shown?.dataset.chat === id) return;
  shown?.remove();
  const text =
    "This chat is temporary: it is in memory only. It is gone when you close it here, or when Paddock ends.";
  const note = h(
    "div",
    { class: "temporary-note", role: "note", "data-chat": id },
    h("span", {}, text),
    textButton("Keep it", () => keepChat(sidebar, chat), { kind: "small" }),
    textButton("Close and forget", () => sidebar.remove(chat), { kind: "small" }),
  );
  $("#chat").prepend(note);
}
