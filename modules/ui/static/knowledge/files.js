// The files that were added to a knowledge of Paddock's own.

import { h, iconButton, textButton } from "../dom.js";
import { drawRows } from "../redraw.js";
import { attempt, get, post, put, turns } from "../requests.js";

/** Return the fold of the files of a knowledge, with a button to add some. `changed()` is called after a change. */
export function drawFiles(id, name, changed) {
  const list = h("ul", { class: "knowledge-files" });
  const fold = h("details", { id: `${id}-files` }, h("summary", {}, "Files"), list);
  const turn = turns();
  const draw = (files) => drawRows(list, files, (file) => file, entry);
  const entry = (file) => {
    const remove = async () => {
      const isLatest = turn();
      const left = await attempt(() => post("/knowledge/files/remove", { name, file }));
      if (left && isLatest()) draw(left.files);
      if (left) changed();
    };
    return h("li", {}, h("span", {}, file), iconButton("close", `Remove ${file}`, remove));
  };
  const read = async () => {
    const isLatest = turn();
    const found = await attempt(() => get(`/knowledge/files?name=${encodeURIComponent(name)}`));
    if (found && isLatest()) draw(found.files);
  };
  fold.addEventListener("toggle", () => fold.open && read());
  const input = h("input", { type: "file", multiple: true, hidden: true, "aria-label": `Files for ${name}` });
  input.addEventListener("change", async () => {
    const files = [...input.files];
    input.value = "";
    for (const file of files) {
      const query = new URLSearchParams({ knowledge_name: name, name: file.name });
      await attempt(() => put(`/knowledge/files?${query}`, file));
    }
    if (fold.open) read();
    changed();
  });
  const add = textButton("Add files", () => input.click(), { kind: "small", id: `${id}-add` });
  return h("div", {}, h("div", { class: "row" }, add), input, fold);
}
