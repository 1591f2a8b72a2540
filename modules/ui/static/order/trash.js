// The trash: deleted chats, which can be restored or deleted for ever.

import { h, onSingleClick, textButton } from "../dom.js";
import { drawRows } from "../redraw.js";
import { attempt, get, post, turns } from "../requests.js";
import { toast } from "../toasts.js";
import { openSheet } from "./sheet.js";

export function openTrash(sidebar) {
  openSheet("Trash", async (body) => {
    const list = h("ul", { class: "choices" });
    const about = h("p", { class: "quiet", role: "status" });
    const all = textButton("Delete all for ever", (event) => confirmAll(event), { kind: "end", hidden: true });
    body.append(about, list, h("div", { class: "row" }, all));
    let chats = [];
    const turn = turns();

    const many = async (ids, action) => {
      const answer = await attempt(() => post("/chats/many", { chats: ids, action }));
      for (const problem of answer?.problems ?? []) toast(problem, { error: true });
      await draw();
      sidebar.refresh();
    };
    const purgeAll = () => many(chats.map(({ id }) => id), "purge");
    const confirmAll = asking(all, () => `Really delete ${chats.length} for ever`, purgeAll);
    const purgeButton = ({ id, title }) => {
      const label = { kind: "small", "aria-label": `Delete ${title} for ever` };
      const button = textButton("Delete for ever", (event) => confirm(event), label);
      const confirm = asking(button, () => "Really delete", () => many([id], "purge"));
      return button;
    };
    const row = (chat) => {
      const label = { kind: "small", "aria-label": `Restore ${chat.title}` };
      const restore = textButton("Restore", () => many([chat.id], "restore"), label);
      return h("li", { class: "trash-row" }, h("span", { dir: "auto" }, chat.title), restore, purgeButton(chat));
    };
    const draw = async () => {
      const isLatest = turn();
      const found = await attempt(() => get("/chats/trash"));
      if (!found || !isLatest()) return;
      // A question about all of them is about others now.
      if (JSON.stringify(found) !== JSON.stringify(chats)) takeBack(all, "Delete all for ever");
      chats = found;
      all.hidden = !chats.length;
      const kept = "Deleted chats stay here until you delete them for ever.";
      about.textContent = chats.length ? kept : "The trash is empty.";
      drawRows(list, chats, ({ id }) => id, row);
    };
    await draw();
  });
}

/** Return a handler of a button whose first press asks `question()` in its place, and whose second press runs `run`. */
function asking(button, question, run) {
  return onSingleClick(() => {
    if (button.dataset.asked) return run();
    button.dataset.asked = "true";
    button.textContent = question();
  });
}

function takeBack(button, label) {
  delete button.dataset.asked;
  button.textContent = label;
}
