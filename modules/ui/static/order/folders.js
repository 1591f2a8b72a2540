// Folders of chats: make one, and change its name and what holds for its chats.

import { h, textButton } from "../dom.js";
import { attempt, get, post } from "../requests.js";
import { toast } from "../toasts.js";
import { askText, openSheet } from "./sheet.js";

/** Ask for the name of a new folder. `done(folder)` is called with it. */
export function newFolder(done = (_folder) => {}) {
  askText("New folder", { label: "Name", button: "Create" }, async (name) => {
    const folder = await attempt(() => post("/folders", { name }));
    if (!folder) return false;
    dispatchEvent(new Event("paddock-chats-changed"));
    done(folder);
    return true;
  });
}

/** Open the settings of a folder: its name, its system prompt, and its knowledge. */
export async function editFolder(folder) {
  const write = async (verb, body) => {
    const answer = await attempt(() => post(`/folders/${encodeURIComponent(folder.id)}/${verb}`, body));
    dispatchEvent(new Event("paddock-chats-changed"));
    return answer;
  };
  const known = await get("/knowledge").catch(() => null);
  openSheet(`Folder ${folder.name}`, (body, close) => {
    const name = h("input", { type: "text", dir: "auto", maxlength: "80", value: folder.name });
    const system = h("textarea", { rows: "5", dir: "auto", placeholder: "That of the Session tab" });
    system.value = folder.settings.system ?? "";
    const knowledge = knowledgeField(folder, known);
    const save = async () => {
      if (name.value.trim() !== folder.name && (await write("rename", { name: name.value })) === false) return;
      const changes = { system: system.value.trim() ? system.value : null, ...knowledge.changes() };
      if ((await write("settings", { changes })) !== false) close();
    };
    const remove = async () => {
      if ((await write("delete", {})) === false) return;
      close();
      toast(`Deleted the folder ${folder.name}. Its chats are in the list.`);
    };
    body.append(
      h("label", { class: "chat-field" }, h("span", {}, "Name"), name),
      h(
        "label",
        { class: "chat-field" },
        h("span", {}, "System prompt"),
        system,
        h("span", { class: "about" }, "For chats in this folder that have none of their own."),
      ),
      knowledge.element,
      h(
        "div",
        { class: "row" },
        textButton("Save", save, { kind: "primary" }),
        textButton("Delete this folder", remove, { kind: "end" }),
      ),
    );
  });
}

/** Return a field for the knowledge of a folder. Without knowledge on this machine it is a line that says so. */
function knowledgeField(folder, known) {
  const chosen = new Set(folder.settings.knowledge ?? []);
  const listed = (known?.items ?? []).map((one) => one.name ?? one);
  const names = listed.filter((one) => typeof one === "string");
  const boxes = [...new Set([...names, ...chosen])].map((name) => {
    const box = h("input", { type: "checkbox", checked: chosen.has(name) });
    box.addEventListener("change", () => (box.checked ? chosen.add(name) : chosen.delete(name)));
    return h("label", { class: "check" }, box, h("span", {}, name));
  });
  const element = boxes.length
    ? h("fieldset", { class: "chat-section" }, h("legend", {}, "Knowledge"), boxes)
    : h("p", { class: "about" });
  return { element, changes: () => (boxes.length ? { knowledge: chosen.size ? [...chosen] : null } : {}) };
}
