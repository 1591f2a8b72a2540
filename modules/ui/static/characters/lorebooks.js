// The list of lorebooks.

import { h, iconButton, textButton } from "../dom.js";
import { attempt, get, post, put } from "../requests.js";
import { toast } from "../toasts.js";
import { chooseFiles, download, line } from "./fields.js";
import { drawBookEditor } from "./lorebook_editor.js";

// What programs name the files that have lorebooks.
const FILES = ".json,.png,.lorebook,.scenario,.charx";

/** Draw the lorebooks into the window `panel`. `fill` puts them there, unless something else is shown by then. */
export async function drawLorebooks(fill, panel) {
  const answer = await attempt(() => get("/lorebooks"));
  if (!answer) return;
  const row = ({ name, everywhere, entries, error }) =>
    h(
      "div",
      { class: error ? "card-row broken" : "card-row" },
      h(
        "div",
        { class: "card-text" },
        h("strong", { dir: "auto", translate: "no" }, name),
        h("p", {}, error || about(entries, everywhere)),
      ),
      iconButton("edit", `Edit ${name}`, () => edit(panel, name), { disabled: Boolean(error) }),
    );
  const rows = answer.lorebooks.map(row);
  const empty = h(
    "p",
    { class: "quiet" },
    "A lorebook has texts that go into a prompt when the chat names one of their keys. Import one of SillyTavern or " +
      "KoboldCpp, or make one.",
  );
  fill(
    h(
      "div",
      { class: "row characters-bar" },
      textButton("New lorebook", () => create(panel), { kind: "primary" }),
      textButton("Import…", () => chooseFiles(FILES, true, (files) => take(panel, files))),
    ),
    rows.length ? h("div", { class: "cards" }, rows) : empty,
  );
}

const about = (entries, everywhere) =>
  (entries === 1 ? "1 entry" : `${entries} entries`) + (everywhere ? " · in every chat" : "");

async function take(panel, files) {
  const showAgain = panel.later("lorebooks");
  for (const file of files) {
    const answer = await attempt(() => put(`/lorebooks/import?name=${encodeURIComponent(file.name)}`, file));
    if (answer) toast([`Imported ${answer.name}.`, ...answer.notes].join(" "));
  }
  showAgain();
}

function create(panel) {
  const label = "Name of the lorebook";
  const name = line("", { required: true, maxlength: "100", "aria-label": label, placeholder: label });
  const onsubmit = async (event) => {
    event.preventDefault();
    const book = { name: name.value, entries: [], extensions: {} };
    const isCurrent = panel.turn();
    const answer = await attempt(() => post("/lorebooks/save", { book }));
    if (answer && isCurrent()) edit(panel, answer.saved);
  };
  panel.fill(
    h(
      "form",
      { class: "card-form", onsubmit },
      name,
      h(
        "div",
        { class: "row form-end" },
        h("button", { type: "submit", class: "button primary" }, "Make it"),
        textButton("Cancel", () => panel.show("lorebooks")),
      ),
    ),
  );
  name.focus();
}

async function edit(panel, name) {
  const isCurrent = panel.turn();
  const facts = await attempt(() => get(`/lorebooks/one?name=${encodeURIComponent(name)}`));
  if (!facts || !isCurrent()) return;
  const remove = async () => {
    const showList = panel.later("lorebooks");
    if ((await attempt(() => post("/lorebooks/delete", { name }))) !== false) showList();
  };
  const file = (form) => `/lorebooks/export?name=${encodeURIComponent(name)}&form=${form}`;
  const actions = h(
    "div",
    { class: "row" },
    download(file("v3"), "Download", ""),
    download(file("sillytavern"), "Download for SillyTavern", ""),
    textButton("Delete", remove),
  );
  const done = async (book, everywhere) => {
    const showList = panel.later("lorebooks");
    if (book) {
      const answer = await attempt(() => post("/lorebooks/save", { name, book, everywhere }));
      if (!answer) return;
      toast(`Saved ${name}.`);
    }
    showList();
  };
  drawBookEditor(panel, name, facts.book, done, { everywhere: facts.everywhere, actions });
}
