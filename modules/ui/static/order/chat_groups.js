// The groups of the list of chats: temporary ones, pinned ones, folders, days, and the archive.

import { h, iconButton } from "../dom.js";
import { openMenu } from "../menu.js";
import { folderItems } from "./chat_menu.js";
import { chatRow, hitRows } from "./chat_row.js";

const DAY = 86400;
const OPEN = "paddock.folders.open";

function day(seconds) {
  const midnight = new Date().setHours(0, 0, 0, 0) / 1000;
  if (seconds >= midnight) return "Today";
  if (seconds >= midnight - DAY) return "Yesterday";
  if (seconds >= midnight - 7 * DAY) return "This week";
  return new Date(seconds * 1000).toLocaleDateString(undefined, { month: "long", year: "numeric" });
}

/** Return the elements of the list. */
export function listRows(sidebar) {
  const { chats } = sidebar;
  if (sidebar.searching) return foundRows(sidebar);
  const rows = [];
  const add = (title, group) => group.length && rows.push(h("h3", {}, title), ...rowsOf(sidebar, group));
  const rest = chats.filter((chat) => !chat.temporary && !chat.archived);
  add(
    "Temporary",
    chats.filter((chat) => chat.temporary),
  );
  add(
    "Pinned",
    rest.filter((chat) => chat.pinned),
  );
  const loose = rest.filter((chat) => !chat.pinned);
  for (const folder of sidebar.folders) rows.push(folderGroup(sidebar, folder, loose));
  const names = new Set(sidebar.folders.map(({ id }) => id));
  let heading = "";
  for (const chat of loose.filter(({ folder }) => !names.has(folder))) {
    const name = day(chat.updated);
    if (name !== heading) rows.push(h("h3", {}, (heading = name)));
    rows.push(chatRow(sidebar, chat));
  }
  const archived = chats.filter((chat) => chat.archived && !chat.temporary);
  if (archived.length) rows.push(fold(sidebar, "archive", `Archive (${archived.length})`, archived));
  return rows;
}

const rowsOf = (sidebar, chats) => chats.map((chat) => chatRow(sidebar, chat));

function foundRows(sidebar) {
  return sidebar.chats.flatMap((chat) => [
    chatRow(sidebar, chat),
    ...hitRows(
      sidebar,
      sidebar.hits.filter((hit) => hit.chat === chat.id),
    ),
  ]);
}

function folderGroup(sidebar, folder, chats) {
  const inside = chats.filter((chat) => chat.folder === folder.id);
  const group = fold(sidebar, folder.id, folder.name, inside);
  const more = iconButton("more", `More for the folder ${folder.name}`, () => {
    openMenu(more, `Folder ${folder.name}`, folderItems(sidebar, folder));
  });
  more.setAttribute("aria-haspopup", "menu");
  return h("div", { class: "folder", "data-row": `folder ${folder.id}` }, group, more);
}

// Read again before each change: other groups, and other tabs, change it too.
const openFolds = () => new Set(JSON.parse(localStorage.getItem(OPEN) || "[]"));

/** Return a group that folds. It stays open, or closed, over reloads; that of the open chat is open. */
function fold(sidebar, key, title, chats) {
  const holdsCurrent = chats.some(({ id }) => id === sidebar.current());
  const rows = chats.length ? rowsOf(sidebar, chats) : [h("p", { class: "quiet" }, "Empty")];
  const open = openFolds().has(key) || holdsCurrent || Boolean(sidebar.selected);
  const attributes = { class: "chat-fold", "data-fold": key, "data-row": `fold ${key}`, open };
  const group = h("details", attributes, h("summary", { dir: "auto" }, title), ...rows);
  group.querySelector("summary").addEventListener("click", () => {
    const open = openFolds();
    if (group.open) open.delete(key);
    else open.add(key);
    localStorage.setItem(OPEN, JSON.stringify([...open]));
  });
  return group;
}
