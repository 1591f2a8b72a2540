// The trash: deleted chats, which can be restored or deleted for ever.

import { h, textButton } from "../dom.js";
import { attempt, get, post } from "../requests.js";
import { toast } from "../toasts.js";
import { openSheet } from "./sheet.js";

export function openTrash(sidebar) {
  openSheet("Trash", async (body) => {
    const list = h("ul", { class: "choices" });
    const about = h("p", { class: "quiet", role: "status" });
    const all = textButton("Delete all for ever", (event) => confirmAll(event), { kind: "end", hidden: true });
    body.append(about, list, h("div", { class: "row" }, all));
    let chats = [];
    let asked = false;

    const many = async (ids, action) => {
      const answer = await attempt(() => post("/chats/many", { chats: ids, action }));
      for (const problem of answer?.problems ?? []) toast(problem, { error: true });
      await draw();
      sidebar.refresh();
    };
    // The second click of a double click is no answer to the question.
    const confirmAll = ({ detail }) => {
      if (detail > 1) return;
      if (asked) return many(chats.map(({ id }) => id), "purge");
      asked = true;
      all.textContent = `Really delete ${chats.length} for ever`;
    };
    const purgeButton = (chat) => {
      const button = textButton(
        "Delete for ever",
        ({ detail }) => {
          if (detail > 1) return;
          if (button.dataset.asked) return many([chat.id], "purge");
          button.dataset.asked = "true";
          button.textContent = "Really delete";
        },
        { kind: "small", "aria-label": `Delete ${chat.title} for ever` },
      );
      return button;
    };
    const draw = async () => {
      chats = (await attempt(() => get("/chats/trash"))) || [];
      asked = false;
      all.textContent = "Delete all for ever";
      all.hidden = !chats.length;
      const kept = "Deleted chats stay here until you delete them for ever.";
      about.textContent = chats.length ? kept : "The trash is empty.";
      list.replaceChildren(
        ...chats.map((chat) =>
          h(
            "li",
            { class: "trash-row" },
            h("span", { dir: "auto" }, chat.title),
            textButton("Restore", () => many([chat.id], "restore"), {
              kind: "small",
              "aria-label": `Restore ${chat.title}`,
            }),
            purgeButton(chat),
          ),
        ),
      );
    };
    await draw();
  });
}
