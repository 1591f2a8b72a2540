// Commands of the list of chats, of the open chat, and of what chats can use. They do what the menus and buttons do.

import { addCommand, addCommandSource } from "../commands.js";
import { $ } from "../dom.js";
import { chatItems, listItems } from "../order/chat_menu.js";
import { editFolder } from "../order/folders.js";

const inChat = () => document.body.dataset.view === "chat";

/** Add the commands. `page` is the `Page` of main.js. */
export function addOrderCommands({ shell, sidebar }) {
  const open = () => sidebar.chats.find(({ id }) => id === sidebar.current());
  // What happens in the list needs the list, which small screens hide.
  const seen = ({ label, run, inList = false }) => ({
    label,
    run: () => (inList && shell.toggleSidebar(true), run()),
  });
  for (const item of listItems(sidebar)) if (item) addCommand({ id: `list-${item.label}`, ...seen(item) });
  addButton("open-characters", "Characters");
  addButton("open-chat-panel", "Settings of this chat", inChat);
  addButton("open-knowledge", "Knowledge", inChat);
  // A new chat has no menu until its first message.
  addCommandSource(() => {
    const items = inChat() && open() ? chatItems(sidebar, open()) : [];
    return items.filter(Boolean).map((item) => ({ id: `chat-${item.label}`, group: "This chat", ...seen(item) }));
  });
  addCommandSource(() => sidebar.folders.map(folderCommand));
}

/** Add a command that presses a button. `where` returns true where it can be pressed; else it works everywhere. */
function addButton(id, label, where = null) {
  const available = () => (!where || where()) && Boolean($(`#${id}`));
  addCommand({ id, label, group: where ? "This chat" : undefined, available, run: () => $(`#${id}`).click() });
}

const folderCommand = (folder) => ({
  id: `folder-${folder.id}`,
  label: folder.name,
  isData: true,
  group: "Settings of a folder",
  run: () => editFolder(folder),
});
