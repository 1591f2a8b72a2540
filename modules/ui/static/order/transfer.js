// Chats out to files and in from files.

import { h, textButton } from "../dom.js";
import { address, attempt, put } from "../requests.js";
import { toast } from "../toasts.js";
import { openSheet } from "./sheet.js";

const TRAINING =
  "Questions with their replies, for the Workshop and webui.py train. Replies that you rated bad are left out; if " +
  "any reply is rated good, only chats up to a good reply are written.";
const FORMATS = [
  ["json", "Paddock (JSON)", "Versions, branches, files, settings, folder and tags. Only this comes back unchanged."],
  ["html", "Web page (HTML)", "One file to share. It needs no other file and runs no script."],
  ["markdown", "Markdown", "The shown messages as text."],
  ["textgen", "text-generation-webui (JSON)", "The shown messages as its history."],
  ["training", "Training data (JSONL)", TRAINING],
];

/** Let the person save these chats in a format; with an empty list, all of them. */
export function openExport(chats) {
  const one = chats.length === 1 ? chats[0] : null;
  const several = chats.length ? `Export ${chats.length} chats` : "Export all chats";
  openSheet(one ? `Export “${one.label}”` : several, (body) => {
    const link = (format, label, about) => {
      const ids = chats.map(({ id }) => id).join(",");
      const path = one ? `/chats/${encodeURIComponent(one.id)}/export` : "/chats/export";
      const href = `${address(path)}?format=${format}${one || !ids ? "" : `&chats=${encodeURIComponent(ids)}`}`;
      return h(
        "li",
        {},
        h("a", { class: "button wide", href, download: "" }, label),
        h("p", { class: "about" }, about),
      );
    };
    body.append(h("ul", { class: "choices" }, FORMATS.map((format) => link(...format))));
  });
}

/** Let the person choose files, and add the chats in them. */
export function importChats(sidebar) {
  openSheet("Import chats", (body) => {
    const accept = ".json,.jsonl,.zip";
    const field = h("input", { type: "file", multiple: true, accept, "aria-label": "Files to import" });
    const results = h("ul", { class: "choices", role: "status" });
    let reading = 0;
    const read = async () => {
      const files = [...field.files];
      // The lines of files that are still being read stay.
      if (!reading) results.replaceChildren();
      reading += 1;
      for (const file of files) {
        const line = h("li", {}, `${file.name}: reading…`);
        results.append(line);
        const answer = await put(`/chats/import?name=${encodeURIComponent(file.name)}`, file).catch((error) => error);
        line.textContent = `${file.name}: ${answer.sentence ?? answer.message}`;
        const open = () => (body.closest("dialog").close(), sidebar.open(answer.chats[0]));
        if (answer.chats?.length) line.append(" ", textButton("Open", open, { kind: "small" }));
      }
      reading -= 1;
      await attempt(() => sidebar.refresh());
      if (files.length) toast("The import has ended.");
    };
    field.addEventListener("change", read);
    body.append(
      h(
        "p",
        { class: "about" },
        "Chats that Paddock, text-generation-webui, SillyTavern, ChatGPT, Open WebUI, KoboldCpp or LM Studio " +
          "exported: JSON, JSONL, or the ZIP archive as you downloaded it. Imported chats are added; nothing is " +
          "replaced.",
      ),
      field,
      results,
    );
  });
}
