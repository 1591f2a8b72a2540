// The page's own commands: its views, the drawer, this chat, and one for each chat, model, preset and setting.

import { addCommand, addCommandSource } from "../commands.js";
import { $, $$ } from "../dom.js";
import { attempt, get, post } from "../requests.js";
import { toast } from "../toasts.js";
import { addOrderCommands } from "./order_commands.js";
import { Palette } from "./palette.js";
import { ShortcutList } from "./shortcut_list.js";
import { listenForShortcuts } from "./shortcuts.js";

const inView = (name) => () => document.body.dataset.view === name;
const isIdleChat = () => inView("chat")() && !document.body.classList.contains("writing");

/** Add the commands of the page (`Page` of main.js), the palette and the list of shortcuts. */
export function addPageCommands(page) {
  const palette = new Palette();
  const shortcuts = new ShortcutList();
  const { shell } = page;
  addCommand({ id: "palette", label: "Find a command", keys: "Mod+K", run: () => palette.toggle() });
  addCommand({ id: "new-chat", label: "New chat", keys: "n", run: () => page.create() });
  addCommand({ id: "write", label: "Write a message", keys: "m", run: () => write(page) });
  addCommand({ id: "search-chats", label: "Search chats", keys: "/", run: () => searchChats(shell) });
  addViews(shell);
  addChatActions(page);
  addTabs(shell);
  addOrderCommands(page);
  for (const [theme, label] of [["light", "Light"], ["dark", "Dark"], ["system", "Follow the system"]])
    addCommand({
      id: `theme-${theme}`,
      label: `Appearance: ${label}`,
      available: () => shell.theme !== theme,
      run: () => attempt(() => post("/commands/appearance", { value: theme })),
    });
  addCommand({ id: "shortcuts", label: "Keyboard shortcuts", keys: "?", run: () => shortcuts.toggle() });
  addCommandSource(() => chatCommands(page));
  addCommandSource(() => choiceCommands());
  addCommandSource(() => settingCommands(shell));
  listenForShortcuts();
}

function write(page) {
  if (!["chat", "notebook"].includes(document.body.dataset.view)) page.shell.showView("chat");
  page.writingField.focus();
}

function searchChats(shell) {
  shell.toggleSidebar(true);
  $("#chat-search").focus();
}

function addViews(shell) {
  const keys = { chat: "c", notebook: "b", workshop: "w" };
  for (const button of $$(".views [data-view]")) {
    const { view } = button.dataset;
    const run = () => shell.showView(view, true);
    addCommand({ id: `view-${view}`, label: button.textContent.trim(), keys: keys[view], group: "Views", run });
  }
}

function addTabs(shell) {
  addCommand({ id: "settings", label: "Settings", keys: "s", group: "Settings", run: () => shell.toggleDrawer() });
  for (const tab of $$("#drawer-tabs [role=tab]")) {
    const name = shell.tabName(tab);
    addCommand({ id: `tab-${name}`, label: tab.textContent.trim(), group: "Settings", run: () => shell.openTab(name) });
  }
}

/** Commands for the newest message, which press its buttons: what has no button there cannot be done. */
function addChatActions(page) {
  const newest = (role) => $$(`.message.${role}`).at(-1);
  const button = (role, icon) => newest(role)?.querySelector(`.tools [data-icon="${icon}"]`);
  const action = (id, label, role, icon, keys) =>
    addCommand({
      id,
      label,
      keys,
      group: "This chat",
      available: () => isIdleChat() && Boolean(button(role, icon)),
      run: () => button(role, icon).click(),
    });
  action("regenerate", "Regenerate the reply", "assistant", "again", "r");
  action("continue", "Continue the reply", "assistant", "forward", "");
  action("edit", "Edit your last message", "user", "edit", "e");
  action("copy", "Copy the reply", "assistant", "copy", "y");
  addCommand({
    id: "tools",
    label: "Tools",
    group: "This chat",
    available: inView("chat"),
    run: () => $("#open-tools").click(),
  });
  addCommand({
    id: "attach",
    label: "Attach files",
    group: "This chat",
    available: () => inView("chat")() && Boolean($("#attach")),
    run: () => $("#attach").click(),
  });
  addCommand({
    id: "newest",
    label: "Go to the newest text",
    keys: "g",
    group: "This chat",
    available: inView("chat"),
    run: () => page.transcript.scrollToEnd(),
  });
}

/** One command for each chat. */
async function chatCommands(page) {
  const chats = await get("/chats");
  const open = (chat) => () => page.open(chat.id);
  return chats.map((chat) => ({ id: chat.id, label: chat.title, isData: true, group: "Chats", run: open(chat) }));
}

/** One command for each model and each preset. */
async function choiceCommands() {
  const { models, presets } = await get("/commands/choices");
  const load = (model) => () => attempt(() => post("/model/load", { model }));
  const choose = (preset) => async () => {
    if ((await attempt(() => post("/commands/preset", { value: preset }))) === false) return;
    $("#refresh-all")?.click();
    toast(`The preset is now ${preset}.`);
  };
  return [
    ...models.map((name) => ({ id: name, label: name, isData: true, group: "Load a model", run: load(name) })),
    ...presets.map((name) => ({ id: name, label: name, isData: true, group: "Use a preset", run: choose(name) })),
  ];
}

/** One command for each field of the settings, which opens its tab and its fold. */
function settingCommands(shell) {
  return $$("#drawer-tabs > [role=tabpanel]").flatMap((panel) => {
    const tab = panel.id.replace(/^tab-/, "");
    const titles = $$("[data-testid=block-info], label:has(> input[type=checkbox]) > span", panel);
    return titles
      .filter((title) => title.textContent.trim() && !title.closest(".unsupported, .hide, .hidden"))
      .map((title) => ({
        id: `${tab}-${title.textContent}`,
        label: title.textContent.trim(),
        group: "Settings",
        run: () => shell.openField(tab, title),
      }));
  });
}
