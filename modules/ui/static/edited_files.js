// The files of a message that is being edited: chips that can be removed, and a button that adds some.

import { fileSign } from "./attachments.js";
import { drawFacts, h, iconButton } from "./dom.js";
import { keepFocus } from "./redraw.js";
import { attempt, put } from "./requests.js";

export class EditedFiles {
  /** `parts`: those of the message that are files: {kind, name, hash, label}. */
  constructor(parts) {
    this.files = parts.map(({ kind, name, hash, label }) => ({ kind, name, hash, label }));
    this.before = this.#key();
    this.list = h("ul", { class: "edited-files", "aria-label": "Files of this message" });
    const input = h("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files" });
    input.addEventListener("change", () => (this.#add([...input.files]), (input.value = "")));
    this.button = iconButton("clip", "Attach files to this message", () => input.click());
    this.element = h("div", { class: "edited-files-row" }, this.button, input, this.list);
    this.#draw();
  }

  /** True if the files are not those that the message had. */
  get changed() {
    return this.#key() !== this.before;
  }

  /** Resolve to the files as the host names them, once all of them are read. */
  async take() {
    await this.reading;
    return this.files.map(({ hash, name }) => ({ hash, name }));
  }

  #key() {
    return JSON.stringify(this.files.map(({ hash, name }) => [hash, name]));
  }

  async #add(files) {
    this.button.disabled = true;
    const upload = async () => {
      for (const file of files) {
        const found = await attempt(() => put(`/attachments?name=${encodeURIComponent(file.name)}`, file));
        if (found) this.files.push(found);
        this.#draw();
      }
    };
    this.reading = upload();
    await this.reading;
    this.button.disabled = false;
  }

  #draw() {
    const chips = this.files.map((file) => this.#chip(file));
    keepFocus(this.list, () => this.list.replaceChildren(...chips), this.button);
  }

  #chip(file) {
    const remove = () => {
      this.files = this.files.filter((other) => other !== file);
      this.#draw();
    };
    return h(
      "li",
      { class: "attachment", "data-row": file.hash, title: file.name },
      fileSign(file),
      h("span", { class: "attachment-name" }, file.name),
      drawFacts("attachment-facts", file.label),
      iconButton("close", `Remove ${file.name}`, remove),
    );
  }
}
