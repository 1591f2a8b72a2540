// Several chats at once: the bar below the list while chats are being selected.

import { h, textButton } from "../dom.js";
import { attempt, post } from "../requests.js";
import { toast } from "../toasts.js";
import { moveChats } from "./chat_menu.js";
import { openExport } from "./transfer.js";

/** Return the bar. `sidebar.selected` has the ids of the selected chats. */
export function selectionBar(sidebar) {
  const chosen = () => sidebar.chats.filter(({ id }) => sidebar.selected.has(id));
  const none = !sidebar.selected.size;
  const many = async (action, undo) => {
    const ids = chosen().map(({ id }) => id);
    if (action === "trash") sidebar.removing = sidebar.current();
    const answer = await attempt(() => post("/chats/many", { chats: ids, action }));
    if (!answer) return void (sidebar.removing = null);
    for (const problem of answer.problems) toast(problem, { error: true });
    const gone = action === "trash" && ids.includes(sidebar.current());
    sidebar.endSelection();
    await sidebar.refresh();
    if (gone) sidebar.create();
    sidebar.removing = null;
    const run = () => attempt(() => post("/chats/many", { chats: ids, ...undo }));
    const count = `${answer.done} ${answer.done === 1 ? "chat" : "chats"}`;
    toast(action === "trash" ? `Deleted ${count}.` : `Archived ${count}.`, { action: { label: "Undo", run } });
  };
  const all = () => {
    const every = sidebar.chats.every(({ id }) => sidebar.selected.has(id));
    for (const { id } of sidebar.chats) every ? sidebar.selected.delete(id) : sidebar.selected.add(id);
    sidebar.draw();
  };
  const button = (label, run) => textButton(label, run, { kind: "small", disabled: none });
  return h(
    "div",
    { class: "selection-bar", role: "group", "aria-label": "Selected chats" },
    h("p", { role: "status" }, `${sidebar.selected.size} selected`),
    h(
      "div",
      { class: "row" },
      textButton("All", all, { kind: "small" }),
      button("Archive", () => many("archive", { action: "archive", on: false })),
      button("Move…", () => moveChats(sidebar, chosen(), () => sidebar.endSelection())),
      button("Export…", () => openExport(chosen())),
      button("Delete", () => many("trash", { action: "restore" })),
      textButton("Cancel", () => sidebar.endSelection(), { kind: "small" }),
    ),
  );
}
