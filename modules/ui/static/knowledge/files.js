// The files that were added to a knowledge of Paddock's own.

import { h, iconButton, textButton } from "../dom.js";
import { attempt, get, post, put } from "../requests.js";

/** Return the fold of the files of a knowledge, with a button to add some. `changed()` is called after a change. */
export function drawFiles(id, name, changed) {
  const list = h("ul", { class: "knowledge-files" });
  const fold = h("details", { id: `${id}-files` }, h("summary", {}, "Files"), list);
  const draw = (files) => list.replaceChildren(...files.map((file) => entry(file)));
  const entry = (file) => {
    const remove = async () => {
      const left = await attempt(() => post("/knowledge/files/remove", { name, file }));
      if (left) (draw(left.files), changed());
    };
    return h("li", {}, h("span", {}, file), iconButton("close", `Remove ${file}`, remove));
  };
  fold.addEventListener("toggle", async () => {
    if (!fold.open) return;
    const found = await attempt(() => get(`/knowledge/files?name=${encodeURIComponent(name)}`));
    if (found) draw(found.files);
  });
  const input = h("input", { type: "file", multiple: true, hidden: true, "aria-label": `Files for ${name}` });
  input.addEventListener("change", async () => {
    const files = [...input.files];
    input.value = "";
    for (const file of files) {
      const query = new URLSearchParams({ knowledge_name: name, name: file.name });
      await attempt(() => put(`/knowledge/files?${query}`, file));
    }
    changed();
  });
  const add = textButton("Add files", () => input.click(), { kind: "small", id: `${id}-add` });
  return h("div", {}, h("div", { class: "row" }, add), input, fold);
}
