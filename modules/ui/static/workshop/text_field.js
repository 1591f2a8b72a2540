// A field for a text of a job: a sample, a data set, a chat, a path on the machine that runs Paddock, or a file that is
// sent there.

import { h, textButton } from "../dom.js";
import { attempt, put } from "../requests.js";
import { toast } from "../toasts.js";
import { setOptions } from "./fields.js";

export const SAMPLE = "A sample that ships with Paddock";
// Endings of files for calibration, evaluation and training.
export const TEXTS = [".txt", ".md", ".json", ".jsonl", ".gz", ".parquet"];
// The host takes no larger body.
const MOST = 16 * 1024 * 1024;
const FIRST = "";
const PATH = "path";

/** A choice of texts with a path. `sample`: what is used where nothing is chosen; "" shows the path alone. */
export class TextField {
  constructor(label, { id, sample = "", placeholder = "", help = "", endings }) {
    this.sample = sample;
    this.endings = endings;
    this.path = h("input", { type: "text", id, placeholder, autocomplete: "off", "aria-label": `${label} (path)` });
    this.picker = h("input", { type: "file", accept: endings.join(), hidden: true, "aria-label": `${label} (file)` });
    this.picker.addEventListener("change", () => this.#picked());
    const choose = textButton("Choose a file", () => this.picker.click());
    this.place = h("div", { class: "path" }, this.path, choose, this.picker);
    this.choice = h("select", { id: `${id}-choice`, onchange: () => this.#show() });
    const about = help && h("small", {}, help);
    const name = h("label", { for: sample ? `${id}-choice` : id }, label);
    this.node = h("div", { class: "field" }, name, sample && this.choice, this.place, about);
    this.setTexts([]);
  }

  /** Offer data sets and chats, each {source, title}. */
  setTexts(texts) {
    const options = texts.map(({ source, title }) => [source, title]);
    setOptions(this.choice, [[FIRST, this.sample], [PATH, "A file or a folder …"], ...options]);
    this.#show();
  }

  /** Return the source for a job: "" for the sample. */
  value() {
    const chosen = this.sample ? this.choice.value : PATH;
    return chosen === PATH ? this.path.value.trim() : chosen;
  }

  #show() {
    this.place.hidden = Boolean(this.sample) && this.choice.value !== PATH;
  }

  async #picked() {
    const [file] = this.picker.files;
    this.picker.value = "";
    if (!file) return;
    const path = await send(file);
    if (path) this.path.value = path;
    this.path.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

/** Send a file to the host; resolve to its path there, or "" where that failed. */
async function send(file) {
  if (file.size > MOST) {
    const next = "Copy it to the machine that runs Paddock, and write its path here.";
    toast(`${file.name} is larger than 16 MB. ${next}`, { error: true });
    return "";
  }
  const answer = await attempt(() => put(`/workshop/texts/${encodeURIComponent(file.name)}`, file));
  return answer === false ? "" : answer.path;
}
