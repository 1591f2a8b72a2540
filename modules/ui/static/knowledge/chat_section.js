// The knowledge of the open chat in the panel "This chat".

import { addChatSection } from "../chat_panel.js";
import { $, h, textButton } from "../dom.js";
import { attempt, get } from "../requests.js";

addChatSection(
  "Knowledge",
  async (body, chat) => {
    const used = await attempt(() => get(`/knowledge/on?chat=${encodeURIComponent(chat.id)}`));
    if (!used) return;
    const text = used.on.length ? used.on.join(", ") : "This chat reads no knowledge.";
    const choose = textButton("Choose", () => ($("#chat-panel").close(), $("#open-knowledge").click()));
    body.append(h("p", { class: "quiet" }, text), h("div", { class: "row" }, choose));
  },
  { order: 45 },
);
