// Sections of the panel "This chat": persona, author's note, lorebooks and group.

import { addChatSection } from "../chat_panel.js";
import { $, h, textButton } from "../dom.js";
import { keepFocus } from "../redraw.js";
import { attempt, get } from "../requests.js";
import { area, checkbox, labelled, number, ROLES, select } from "./fields.js";

const NONE = "-";
const ORDERS = {
  natural: "Whom the message names, else one at random",
  list: "All, one after another",
  round: "The next one, in turn",
  random: "One at random",
  manual: "Only when asked",
};

/** Fill a section with what the host says of the chat's scene. */
const withScene = (draw) => async (body, chat) => {
  const scene = await attempt(() => get(`/chats/${encodeURIComponent(chat.id || "new")}/scene`));
  if (scene) draw(body, chat, scene);
};

function drawPersona(body, chat, scene) {
  const options = [
    ["", `As chosen for the character, or the default (${scene.user})`],
    [NONE, "None"],
    ...scene.personas.map((name) => [name, name]),
  ];
  const field = select(options, scene.persona, (name) => chat.change({ persona: name || null }));
  field.setAttribute("aria-label", "Persona");
  body.append(h("div", { class: "chat-field" }, field, h("span", { class: "about" }, "Who you are in this chat.")));
}

function drawNote(body, chat, { note }) {
  const text = area(note.text, 3, { "aria-label": "Author's note" });
  const depth = number(note.depth);
  const store = () =>
    chat.change({
      note: text.value.trim() ? { text: text.value, depth: Number(depth.value || 0), role: role.value } : null,
    });
  const role = select(ROLES, note.role, store);
  text.addEventListener("change", store);
  depth.addEventListener("change", store);
  body.append(
    labelled("Text", text, "Put into every prompt, so many messages before the end."),
    h("div", { class: "pair" }, labelled("Depth", depth), labelled("As", role)),
  );
}

function drawLorebooks(body, chat, scene) {
  const chosen = new Set(scene.lorebooks);
  const toggle = (name) => (on) => {
    if (on) chosen.add(name);
    else chosen.delete(name);
    chat.change({ lorebooks: chosen.size ? [...chosen] : null });
  };
  const missing = scene.lorebooks.filter((name) => !scene.all_lorebooks.includes(name));
  const rows = [...scene.all_lorebooks, ...missing].map((name) => checkbox(name, chosen.has(name), toggle(name)).row);
  const open = () => ($("#chat-panel").close(), globalThis.paddock.characters.open("lorebooks"));
  const about = "That of the character, and those for every chat, are used besides.";
  body.append(
    ...rows,
    h("p", { class: "about" }, about),
    h("div", { class: "row" }, textButton("Edit lorebooks…", open, { kind: "small" })),
  );
}

function drawGroup(body, chat, scene) {
  const group = { order: "natural", muted: [], ...(scene.group ?? {}) };
  const members = new Set(group.members ?? []);
  const muted = new Set(group.muted);
  const store = () => {
    const now = { members: [...members], order: order.value, muted: [...muted].filter((name) => members.has(name)) };
    draw();
    return chat.change({ group: members.size ? now : null });
  };
  const toggle = (set, name) => (on) => {
    if (on) set.add(name);
    else set.delete(name);
    store();
  };
  const order = select(
    scene.orders.map((name) => [name, ORDERS[name]]),
    group.order,
    store,
  );
  const speak = (speaker) => {
    $("#chat-panel").close();
    return globalThis.paddock.act("speak", { speaker }, chat.id);
  };
  const list = h("div", { class: "group-list" });
  const row = (name) =>
    h(
      "div",
      { class: "group-row", "data-row": name },
      checkbox(name, members.has(name), toggle(members, name)).row,
      members.has(name)
        ? h(
            "div",
            { class: "row" },
            checkbox("silent", muted.has(name), toggle(muted, name)).row,
            chat.id
              ? textButton("Speak now", () => speak(name), { kind: "small", "aria-label": `Let ${name} speak now` })
              : null,
          )
        : null,
    );
  const draw = () => {
    const names = [...members, ...scene.characters.filter((name) => !members.has(name))];
    const rows = names.sort((one, other) => one.localeCompare(other)).map(row);
    keepFocus(list, () => list.replaceChildren(...rows));
  };
  draw();
  body.append(
    list,
    labelled("Who answers", order),
    h("p", { class: "about" }, "With members, this is a group chat: each of them answers with its own card."),
  );
}

/** Add the sections, at the start of the page. */
export function addSceneSections() {
  addChatSection("Persona", withScene(drawPersona), { order: 32 });
  addChatSection("Author's note", withScene(drawNote), { order: 34 });
  addChatSection("Lorebooks", withScene(drawLorebooks), { order: 36 });
  addChatSection("Group", withScene(drawGroup), { order: 38 });
}
