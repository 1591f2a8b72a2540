// The form that makes a quantized model: method, its settings, calibration text and name.

import { h, textButton } from "../dom.js";
import { attempt, post } from "../requests.js";
import { labelled, setOptions, settingField } from "./fields.js";
import { bytes, duration } from "./format.js";
import { SAMPLE, TEXTS, TextField } from "./text_field.js";

export class QuantizeCard {
  /** `started(id)` is called with the id of each job that was started. */
  constructor({ started }) {
    this.started = started;
    this.methods = [];
    this.fields = [];
    this.model = h("select", { id: "quantize-model" });
    this.method = h("select", { id: "quantize-method", onchange: () => this.#drawSettings({}) });
    this.settings = h("div", { class: "fields", id: "quantize-settings" });
    this.advanced = h("details", {}, h("summary", {}, "Advanced"), h("div", { class: "fields" }));
    this.text = new TextField("Calibration text", { id: "quantize-text", sample: SAMPLE, endings: TEXTS });
    this.name = h("input", { type: "text", placeholder: "the model's name and the method", autocomplete: "off" });
    this.estimate = h("p", { class: "quiet", id: "quantize-estimate", "aria-live": "polite", hidden: true });
    this.estimateButton = textButton("Estimate time and memory", () => this.#estimate(), { id: "quantize-plan" });
    this.button = textButton("Start", () => this.start(), { kind: "primary", id: "quantize-start" });
    const choice = [labelled("Model", this.model), labelled("Method", this.method)];
    this.node = h(
      "section",
      { class: "panel", "aria-label": "Quantize" },
      h("h2", {}, "Quantize"),
      h("div", { class: "fields" }, choice, this.settings, this.text.node, labelled("Name of the result", this.name)),
      this.advanced,
      this.estimate,
      h("div", { class: "row" }, this.button, this.estimateButton),
    );
    for (const event of ["change", "input"]) this.node.addEventListener(event, () => this.#clearEstimate());
  }

  update({ models, methods, texts }) {
    this.text.setTexts(texts);
    const full = models.filter((model) => model.full && model.text);
    setOptions(
      this.model,
      full.map(({ name, size_bytes: size }) => [name, `${name} (${bytes(size)})`]),
    );
    this.button.disabled = this.estimateButton.disabled = !full.length;
    if (this.methods.length) return;
    this.methods = methods;
    setOptions(
      this.method,
      methods.map(({ name, title }) => [name, title]),
      "gguf",
    );
    this.#drawSettings({});
  }

  /** Fill the form with a recommendation, and show it. */
  open(model, method, settings) {
    this.model.value = model;
    this.method.value = method;
    this.#drawSettings(settings);
    this.node.scrollIntoView({ block: "nearest" });
    this.button.focus({ preventScroll: true });
  }

  #drawSettings(given) {
    const method = this.methods.find((one) => one.name === this.method.value);
    const all = method ? method.settings : [];
    this.fields = all.map((setting) => ({ setting, ...settingField(setting, given[setting.name]) }));
    const nodes = (advanced) => this.fields.filter((one) => one.setting.advanced === advanced).map((one) => one.node);
    this.settings.replaceChildren(...nodes(false));
    this.advanced.lastElementChild.replaceChildren(...nodes(true));
    this.advanced.hidden = !nodes(true).length;
    this.text.node.hidden = !method?.calibrated;
    this.#clearEstimate();
  }

  /** Return the job that the form describes. */
  #job() {
    const settings = {};
    for (const { setting, changed } of this.fields) {
      const value = changed();
      if (value !== null) settings[setting.name] = value;
    }
    const text = this.text.node.hidden ? "" : this.text.value();
    const form = { model: this.model.value, method: this.method.value, name: this.name.value.trim() };
    return { kind: "quantize", ...form, settings, text };
  }

  /** Show what the job will take. The host may try a part of the work for some seconds. */
  async #estimate() {
    const job = this.#job();
    this.#clearEstimate();
    this.asked = job;
    this.estimateButton.disabled = true;
    const found = await attempt(() => post("/workshop/plan", job));
    this.estimateButton.disabled = false;
    // The form was changed in the time between.
    if (found === false || this.asked !== job || !found.estimate) return;
    this.estimate.textContent = estimateText(found.estimate);
    this.estimate.hidden = false;
  }

  #clearEstimate() {
    this.asked = null;
    this.estimate.hidden = true;
  }

  async start() {
    this.button.disabled = true;
    const answer = await attempt(() => post("/workshop/jobs", this.#job()));
    this.button.disabled = false;
    if (answer === false) return;
    this.name.value = "";
    this.started(answer.id);
  }
}

/** Return {seconds, memory_bytes, disk_bytes, how} as text. Seconds and memory may be null. */
function estimateText({ seconds, memory_bytes: memory, disk_bytes: disk, how }) {
  const parts = [
    seconds !== null && `about ${duration(seconds)}`,
    memory !== null && `${bytes(memory)} of memory`,
    `${bytes(disk)} on disk`,
  ];
  return `This will take ${parts.filter(Boolean).join(", ")}. ${how}`;
}
