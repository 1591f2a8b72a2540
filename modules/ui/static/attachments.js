// The files of the message that is being written: taken by button, drop or paste, and shown as chips above the field.

import { $, drawFacts, h, iconButton } from "./dom.js";
import { saveDraft } from "./drafts.js";
import { icon } from "./icons.js";
import { keepFocus } from "./redraw.js";
import { RequestError, address, get, put } from "./requests.js";
import { toast } from "./toasts.js";

const DRAFT = "paddock.files.";
// As in attachment_store.py and attached_files.py.
const MOST_BYTES = 50_000_000;
const MOST_FILES = 20;
// A longer text that is pasted becomes a file.
const PASTED_CHARACTERS = 8000;

/** Return the address of the content of an attachment. */
export const fileAddress = ({ hash, name }) => address(path({ hash, name }, "file"));
/** Return the path of what the host knows of an attachment: "file", "text" or "facts". */
export const path = ({ hash, name }, what) => `/attachments/${hash}/${what}?name=${encodeURIComponent(name)}`;

/** Return the sign of a file on its chip. */
export function fileSign(file) {
  if (file.kind === "image") return h("img", { src: fileAddress(file), alt: "" });
  return icon(file.kind === "audio" ? "speaker" : "file");
}

export class Attachments {
  /** `changed()` is called when the files change; `insert(text)` puts a text into the message after all. */
  constructor({ changed, insert }) {
    this.changed = changed;
    this.insert = insert;
    this.model = { ready: false, name: "", sees: false, hears: [], context: 0 };
    this.chat = "";
    // Chat id -> its files: {name, hash, kind, mime, label, length, tokens, notes}, without a hash while the host reads
    // one.
    this.files = new Map();
    this.list = h("ul", { id: "attachments", "aria-label": "Attached files", hidden: true });
    this.note = h("p", { id: "attachment-note", class: "composer-note", role: "status", hidden: true });
    const input = h("input", { type: "file", multiple: true, hidden: true, id: "attach-input", "aria-label": "Files" });
    input.addEventListener("change", () => (this.add(input.files), (input.value = "")));
    this.input = input;
    this.button = iconButton("clip", "Attach files", () => input.click(), { id: "attach" });
  }

  /** Put the button and the chips beside the field. */
  attach(area) {
    const composer = area.closest("#composer");
    composer.prepend(this.button, this.input);
    composer.before(this.list, this.note);
    area.addEventListener("paste", (event) => this.#paste(event), { capture: true });
  }

  get current() {
    if (!this.files.has(this.chat)) this.files.set(this.chat, readDraft(this.chat));
    return this.files.get(this.chat);
  }

  /** True while the host reads a file of this message. */
  get busy() {
    return this.current.some((file) => !file.hash);
  }

  /** Tokens of the documents, which go in as passages if they are too long. */
  get tokens() {
    return this.current.reduce((sum, file) => sum + (file.kind === "document" ? file.tokens || 0 : 0), 0);
  }

  /** Show the files of another chat's message. */
  open(chat) {
    this.chat = chat;
    this.#refresh();
    this.#draw();
  }

  /** The chat that is written to was created: its files are under its id now. */
  moveTo(chat) {
    this.files.set(chat, this.current);
    this.files.delete(this.chat);
    saveDraft(DRAFT + this.chat, null);
    this.chat = chat;
    this.#save(chat);
  }

  /** Return the files of the message, which is sent now. */
  take() {
    const taken = this.current;
    this.files.set(this.chat, []);
    this.#save(this.chat);
    this.#draw();
    return taken;
  }

  /** The message was not sent: its files come back. */
  restore(chat, files) {
    const now = this.files.get(chat) ?? readDraft(chat);
    this.files.set(chat, [...files, ...now]);
    this.#save(chat);
    this.#draw();
  }

  /** Set what is known of the loaded model. Its tokens differ from those of another model. */
  setModel(model) {
    const other = model.name !== this.model.name || model.ready !== this.model.ready;
    this.model = model;
    if (other) this.#refresh();
    this.#draw();
  }

  /** Attach files. */
  add(files) {
    for (const file of files) {
      if (this.current.length >= MOST_FILES)
        return toast(`A message can have at most ${MOST_FILES} files. Send these first.`, { error: true });
      if (file.size > MOST_BYTES) {
        const most = `at most ${MOST_BYTES / 1e6} MB can be attached`;
        toast(`${file.name} has ${Math.round(file.size / 1e6)} MB; ${most}. Attach a part of it.`, { error: true });
      } else this.#upload(file);
    }
  }

  async #upload(file) {
    const { chat } = this;
    const entry = { name: file.name, label: "Reading…" };
    this.current.push(entry);
    this.#draw();
    try {
      Object.assign(entry, await put(`/attachments?name=${encodeURIComponent(file.name)}`, file));
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#drop(entry);
      toast(error.message, { error: true, detail: error.detail });
    }
    // The chat may have been created since.
    this.#save(this.#chatOf(entry) ?? chat);
    this.#draw();
  }

  #chatOf(entry) {
    for (const [chat, files] of this.files) if (files.includes(entry)) return chat;
    return null;
  }

  #drop(entry) {
    const files = this.files.get(this.#chatOf(entry)) ?? [];
    files.splice(files.indexOf(entry), files.includes(entry) ? 1 : 0);
  }

  #remove(entry) {
    const chat = this.#chatOf(entry);
    this.#drop(entry);
    if (chat !== null) this.#save(chat);
    this.#draw();
  }

  #paste(event) {
    const data = event.clipboardData;
    const text = data?.getData("text/plain") ?? "";
    // Cells of a table come with a picture of them.
    if (data?.files.length && !(text && data.types.includes("text/html"))) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return this.add(data.files);
    }
    if (text.length <= PASTED_CHARACTERS) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const number = this.current.filter((file) => file.name.startsWith("Pasted text")).length + 1;
    const name = `Pasted text${number > 1 ? ` ${number}` : ""}.txt`;
    this.add([new File([text], name, { type: "text/plain" })]);
    const entry = this.current[this.current.length - 1];
    const run = () => (this.#drop(entry), this.#save(this.chat), this.#draw(), this.insert(text));
    const action = { label: "Put it into the message", run };
    toast("The long text that you pasted is attached as a file.", { action });
  }

  /** Ask the host again about the files: another model counts other tokens, and a file of last week may be gone. */
  async #refresh() {
    const { chat, current } = this;
    const known = current.filter((file) => file.hash);
    await Promise.all(
      known.map(async (file) => {
        try {
          const { label, length, tokens } = await get(path(file, "facts"));
          // The host does not know the width and height of an image any more.
          Object.assign(file, file.kind === "document" ? { label, tokens } : { length, tokens });
        } catch (error) {
          if (!(error instanceof RequestError)) throw error;
          // Without a code, the host did not answer.
          if (!error.code) return;
          this.#drop(file);
          toast(`${file.name}: ${error.message}`, { error: true });
        }
      }),
    );
    if (known.length) (this.#save(chat), this.#draw());
  }

  #save(chat) {
    const ready = (this.files.get(chat) ?? []).filter((file) => file.hash);
    saveDraft(DRAFT + chat, ready.length ? JSON.stringify(ready) : null);
  }

  #draw() {
    this.list.hidden = !this.current.length;
    const chips = this.current.map((file) => this.#chip(file));
    keepFocus(this.list, () => this.list.replaceChildren(...chips), this.button);
    this.#drawNote();
    this.changed();
  }

  #chip(file) {
    const title = (file.notes || []).join(" ") || file.name;
    return h(
      "li",
      { class: file.hash ? "attachment" : "attachment reading", "data-row": file.name, title },
      fileSign(file),
      h("span", { class: "attachment-name" }, file.name),
      drawFacts("attachment-facts", [file.label, file.length].filter(Boolean).join(" · ")),
      iconButton("close", `Remove ${file.name}`, () => this.#remove(file)),
    );
  }

  /** Say before sending what the model will not get whole. */
  #drawNote() {
    const { ready, name, sees, hears, context } = this.model;
    const images = this.current.filter((file) => file.kind === "image").map((file) => file.name);
    const sounds = this.current.filter((file) => file.kind === "audio");
    const sentences = this.current.flatMap((file) => (file.notes || []).map((note) => `${file.name}: ${note}`));
    if (ready && images.length && !sees)
      sentences.push(`${name} cannot see images. Remove ${images.join(" and ")}, or load a model that can.`);
    if (ready && sounds.length && !hears.length) {
      const names = sounds.map((file) => file.name).join(" and ");
      sentences.push(`${name} cannot hear sound. Remove ${names}, or load a model that can.`);
    } else if (ready) sentences.push(...sounds.flatMap((file) => wrongFormat(file, name, hears)));
    if (ready && context && this.tokens > context) {
      const [tokens, room] = [this.tokens.toLocaleString(), context.toLocaleString()];
      sentences.push(
        `The documents have about ${tokens} tokens, and the model's context has ${room}. The model will read the ` +
          "passages that match your question best.",
      );
    }
    this.note.classList.toggle("warning", Boolean(sentences.length));
    this.note.hidden = !sentences.length;
    const text = sentences.join(" ");
    // Screen readers announce the text whenever it is set.
    if (this.note.textContent !== text) this.note.textContent = text;
  }
}

const FORMATS = { "audio/wav": "wav", "audio/mpeg": "mp3" };

/** Return the sentence about a sound in a format that the model does not take, in a list, or []. */
function wrongFormat({ mime }, model, hears) {
  const format = FORMATS[mime];
  if (!format || hears.includes(format)) return [];
  const taken = hears.join(" or ").toUpperCase();
  return [`${model} takes sound as ${taken}, not as ${format.toUpperCase()}. Save it as ${taken} and attach it again.`];
}

function readDraft(chat) {
  try {
    const files = JSON.parse(localStorage.getItem(DRAFT + chat) || "[]");
    return Array.isArray(files) ? files.filter((file) => file.hash && file.name) : [];
  } catch {
    return [];
  }
}

/** Let files that are dropped on the page be attached; elsewhere than in the chat, say where they can be dropped. */
export function takeDroppedFiles(attach) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files") && !event.defaultPrevented;
  const mark = (on) => document.body.classList.toggle("dropping", on);
  const inChat = () => document.body.dataset.view === "chat" && !$("dialog[open]");
  addEventListener("dragover", (event) => hasFiles(event) && (event.preventDefault(), mark(inChat())));
  addEventListener("dragleave", (event) => event.relatedTarget || mark(false));
  addEventListener("drop", (event) => {
    mark(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (!inChat()) return toast("Files can be dropped on a chat. Open the chat first.");
    const items = [...event.dataTransfer.items];
    if (items.some((item) => item.webkitGetAsEntry?.()?.isDirectory))
      return toast("A folder cannot be attached. Drop the files that are in it.", { error: true });
    attach(event.dataTransfer.files);
  });
}
