// The form that trains a LoRA adapter: model, data and settings.

import { clearSent, h, textButton } from "../dom.js";
import { attempt, post } from "../requests.js";
import { labelled, setOptions, settingField } from "./fields.js";
import { bytes } from "./format.js";
import { TEXTS, TextField } from "./text_field.js";

// Settings that are shown at once, in this order. The rest is folded.
const FIRST = ["base", "rank", "alpha", "epochs", "learning_rate", "sample"];

export class TrainCard {
  /** `started(id)` is called with the id of each job that was started. */
  constructor({ started }) {
    this.started = started;
    this.fields = [];
    this.model = h("select", { id: "train-model" });
    this.data = new TextField("Data", {
      id: "train-data",
      placeholder: "/path/to/data.jsonl",
      help: "Chats, instructions or pairs as .jsonl, .json or .parquet, or raw text. A path may also be a folder.",
      endings: TEXTS,
    });
    this.name = h("input", { type: "text", placeholder: "the model's name and -lora", autocomplete: "off" });
    this.settings = h("div", { class: "fields", id: "train-settings" });
    this.rest = h("details", {}, h("summary", {}, "More settings"), h("div", { class: "fields" }));
    this.button = textButton("Train", () => this.start(), { kind: "primary", id: "train-start", disabled: true });
    const about =
      "Teaches a model something new: facts, a tone, a format of answers. The result is a LoRA adapter, a small " +
      "folder beside the model, which stays as it is.";
    this.none = h("p", { class: "quiet" }, "Training needs a model's folder with weights in 16 or 32 bits in models/.");
    this.data.node.classList.add("wide");
    const name = labelled("Name of the adapter", this.name);
    this.node = h(
      "section",
      { class: "panel", "aria-label": "Train" },
      h("h2", {}, "Train an adapter"),
      h("p", { class: "quiet" }, about),
      this.none,
      h("div", { class: "fields" }, labelled("Model", this.model), name, this.data.node, this.settings),
      this.rest,
      h("div", { class: "row" }, this.button),
    );
  }

  update({ models, training }) {
    const able = models.filter((model) => model.trainable && model.text);
    setOptions(
      this.model,
      able.map(({ name, size_bytes: size }) => [name, `${name} (${bytes(size)})`]),
    );
    this.button.disabled = !able.length;
    this.none.hidden = able.length > 0;
    this.node.hidden = !training.length;
    if (!this.fields.length) this.#drawSettings(training);
  }

  #drawSettings(training) {
    const known = new Map(training.map((setting) => [setting.name, setting]));
    const first = FIRST.filter((name) => known.has(name)).map((name) => known.get(name));
    const others = training.filter((setting) => !FIRST.includes(setting.name));
    const drawn = (settings) => settings.map((setting) => ({ setting, ...settingField(setting, undefined) }));
    const [shown, folded] = [drawn(first), drawn(others)];
    this.fields = [...shown, ...folded];
    this.settings.replaceChildren(...shown.map((field) => field.node));
    this.rest.lastElementChild.replaceChildren(...folded.map((field) => field.node));
  }

  async start() {
    const settings = {};
    for (const { setting, changed } of this.fields) {
      const value = changed();
      if (value !== null) settings[setting.name] = value;
    }
    const name = this.name.value;
    const form = { model: this.model.value, name: name.trim(), text: this.data.value() };
    const answer = await attempt(() => post("/workshop/jobs", { kind: "train", ...form, settings }));
    if (answer === false) return;
    clearSent(this.name, name);
    this.started(answer.id);
  }
}
