// The menus of a chat in the list, and of the list itself.

import { h, textButton } from "../dom.js";
import { attempt, get, post } from "../requests.js";
import { toast } from "../toasts.js";
import { openExport, importChats } from "./transfer.js";
import { editFolder, newFolder } from "./folders.js";
import { openPrompts } from "./prompts.js";
import { askText, openSheet } from "./sheet.js";
import { openTrash } from "./trash.js";

async function act(chat, verb, body = {}) {
  const answer = await attempt(() => post(`/chats/${encodeURIComponent(chat.id)}/${verb}`, body));
  dispatchEvent(new Event("paddock-chats-changed"));
  return answer;
}

/** Return the items of the menu of a chat. */
export function chatItems(sidebar, chat) {
  if (chat.temporary)
    return [
      { label: "Keep this chat", run: () => keepChat(sidebar, chat) },
      { label: "Export or share…", run: () => openExport([chat]) },
    ];
  return [
    { label: chat.pinned ? "Unpin" : "Pin to the top", run: () => act(chat, "pin", { on: !chat.pinned }) },
    { label: "Move to a folder…", run: () => moveChats(sidebar, [chat]) },
    { label: "Tags…", run: () => editTags(chat) },
    { label: chat.archived ? "Take out of the archive" : "Archive", run: () => archive(chat) },
    null,
    { label: "Duplicate", run: () => duplicate(sidebar, chat) },
    { label: "Export or share…", run: () => openExport([chat]) },
    { label: "Select…", inList: true, run: () => sidebar.select(chat.id) },
  ];
}

/** Return the items of the menu of the list. */
export function listItems(sidebar) {
  return [
    { label: "New temporary chat", run: () => newTemporary(sidebar) },
    { label: "New folder…", run: () => newFolder() },
    null,
    { label: "Select chats…", inList: true, run: () => sidebar.select() },
    { label: "Import chats…", run: () => importChats(sidebar) },
    { label: "Export all chats…", run: () => openExport([]) },
    { label: "Prompts…", run: () => openPrompts() },
    { label: "Trash…", run: () => openTrash(sidebar) },
  ];
}

/** Return the items of the menu of a folder. */
export function folderItems(sidebar, folder) {
  return [
    { label: "New chat here", run: () => newIn(sidebar, folder) },
    { label: "Settings of the folder…", run: () => editFolder(folder) },
  ];
}

async function newIn(sidebar, folder) {
  const chat = await attempt(() => post("/chats", { folder: folder.id }));
  if (chat) sidebar.open(chat.id);
}

async function newTemporary(sidebar) {
  const chat = await attempt(() => post("/chats", { temporary: true }));
  if (chat) sidebar.open(chat.id);
}

/** Store a temporary chat, and open what was stored. */
export async function keepChat(sidebar, chat) {
  sidebar.removing = chat.id;
  const answer = await act(chat, "keep");
  if (answer) {
    await sidebar.refresh();
    sidebar.open(answer.result.id);
    toast("This chat is stored now.");
  }
  sidebar.removing = null;
}

async function archive(chat) {
  if ((await act(chat, "archive", { on: !chat.archived })) === false || chat.archived) return;
  const run = () => act(chat, "archive", { on: false });
  toast(`Archived “${chat.label}”. It is at the end of the list.`, { action: { label: "Undo", run } });
}

async function duplicate(sidebar, chat) {
  const answer = await act(chat, "duplicate");
  if (!answer) return;
  await sidebar.refresh();
  sidebar.open(answer.result.id);
}

function editTags(chat) {
  const help = "Separate them with commas. The search finds them.";
  askText("Tags", { label: `Tags of “${chat.label}”`, value: chat.tags.join(", "), help }, (text) =>
    act(chat, "tags", { names: text.split(",") }),
  );
}

/** Let the person choose a folder for these chats. */
export async function moveChats(sidebar, chats, done = () => {}) {
  const folders = await attempt(() => get("/folders"));
  if (!folders) return;
  openSheet("Move to a folder", (body, close) => {
    const move = async (folder) => {
      const ids = chats.map(({ id }) => id);
      const answer = await attempt(() => post("/chats/many", { chats: ids, action: "move", folder }));
      if (!answer) return;
      dispatchEvent(new Event("paddock-chats-changed"));
      for (const problem of answer.problems) toast(problem, { error: true });
      close();
      done();
    };
    const create = () => (close(), newFolder((folder) => moveChats(sidebar, chats, done).then(() => folder)));
    const entry = (id, name) => h("li", {}, textButton(name, () => move(id), { kind: "wide" }));
    body.append(
      h("ul", { class: "choices" }, folders.map(({ id, name }) => entry(id, name)), entry("", "No folder")),
      h("div", { class: "row" }, textButton("New folder…", create)),
    );
  });
}
