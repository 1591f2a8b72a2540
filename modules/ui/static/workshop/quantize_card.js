// The form that makes a quantized model: method, its settings, calibration text and name.

import { clearSent, h, textButton } from "../dom.js";
import { attempt, post } from "../requests.js";
import { labelled, setOptions, settingField } from "./fields.js";
import { bytes, duration } from "./format.js";
import { SAMPLE, TEXTS, TextField } from "./text_field.js";

// Group of the settings that say how much of the calibration text is used.
const CALIBRATION = "Calibration";

export class QuantizeCard {
  /** `started(id)` is called with the id of each job that was started. */
  constructor({ started }) {
    this.started = started;
    this.methods = [];
    this.fields = [];
    this.models = [];
    this.model = h("select", { id: "quantize-model", onchange: () => this.#chooseModel() });
    this.method = h("select", { id: "quantize-method", onchange: () => this.#drawSettings({}) });
    this.again = h("p", { class: "warning", id: "quantize-again", hidden: true });
    this.settings = h("div", { class: "fields", id: "quantize-settings" });
    this.advanced = h("details", {}, h("summary", {}, "Advanced"), h("div", { class: "fields" }));
    this.text = new TextField("Calibration text", { id: "quantize-text", sample: SAMPLE, endings: TEXTS });
    this.name = h("input", { type: "text", placeholder: "the model's name and the method", autocomplete: "off" });
    this.estimate = h("p", { class: "quiet", id: "quantize-estimate", "aria-live": "polite", hidden: true });
    // Until the models are known, there is nothing to start.
    const [plan, start] = [{ id: "quantize-plan", disabled: true }, { id: "quantize-start", disabled: true }];
    this.estimateButton = textButton("Estimate time and memory", () => this.#estimate(), plan);
    this.button = textButton("Start", () => this.start(), { kind: "primary", ...start });
    const choice = [labelled("Model", this.model), labelled("Method", this.method)];
    this.node = h(
      "section",
      { class: "panel", "aria-label": "Quantize" },
      h("h2", {}, "Quantize"),
      h("div", { class: "fields" }, choice, this.settings, this.text.node, labelled("Name of the result", this.name)),
      this.again,
      this.advanced,
      this.estimate,
      h("div", { class: "row" }, this.button, this.estimateButton),
    );
    for (const event of ["change", "input"]) this.node.addEventListener(event, () => this.#changed());
  }

  update({ models, methods, texts }) {
    this.text.setTexts(texts);
    const able = models.filter((model) => model.text && methods.some((method) => takes(method, model)));
    // Those in full precision first: the others are a last resort.
    this.models = [...able.filter((model) => model.full), ...able.filter((model) => !model.full)];
    const again = (model) => (model.full ? "" : ", quantized already");
    setOptions(
      this.model,
      this.models.map((model) => [model.name, `${model.name} (${bytes(model.size_bytes)}${again(model)})`]),
    );
    this.button.disabled = this.estimateButton.disabled = !able.length;
    const first = !this.methods.length;
    this.methods = methods;
    this.#showMethods("gguf");
    if (first) this.#drawSettings({});
  }

  #chosen() {
    return this.models.find((model) => model.name === this.model.value);
  }

  #chosenMethod() {
    return this.methods.find((method) => method.name === this.method.value);
  }

  /** Offer the methods that take the chosen model. */
  #showMethods(fallback) {
    const model = this.#chosen();
    const able = this.methods.filter((method) => !model || takes(method, model));
    setOptions(
      this.method,
      able.map(({ name, title }) => [name, title]),
      fallback,
    );
  }

  #chooseModel() {
    this.#showMethods("gguf");
    this.#drawSettings({});
  }

  /** Fill the form with a recommendation, and show it. */
  open(model, method, settings) {
    this.model.value = model;
    this.#showMethods(method);
    this.method.value = method;
    this.#drawSettings(settings);
    this.node.scrollIntoView({ block: "nearest" });
    this.button.focus({ preventScroll: true });
  }

  #drawSettings(given) {
    const method = this.#chosenMethod();
    const model = this.#chosen();
    // Who chooses a quantized model wants it quantized again.
    const all = method ? method.settings.filter((setting) => setting.name !== method.requantize) : [];
    this.fields = all.map((setting) => ({ setting, ...settingField(setting, given[setting.name]) }));
    const nodes = (advanced) => this.fields.filter((one) => one.setting.advanced === advanced).map((one) => one.node);
    this.settings.replaceChildren(...nodes(false));
    this.advanced.lastElementChild.replaceChildren(...nodes(true));
    this.advanced.hidden = !nodes(true).length;
    this.again.hidden = !model || model.full;
    this.again.textContent =
      `${this.model.value} is quantized already, and quantizing again loses more. Choose the original if you have it.`;
    this.#changed();
  }

  /** Show only what the present choices use. */
  #changed() {
    const calibrated = isCalibrated(this.#chosenMethod(), this.fields);
    this.text.node.hidden = !calibrated;
    for (const { node, setting } of this.fields) if (setting.group === CALIBRATION) node.hidden = !calibrated;
    this.#clearEstimate();
  }

  /** Return the job that the form describes. */
  #job() {
    const again = this.#chosenMethod()?.requantize;
    const settings = again && !this.#chosen()?.full ? { [again]: "true" } : {};
    for (const { setting, node, changed } of this.fields) {
      if (node.hidden) continue;
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
    const found = await attempt(() => post("/workshop/plan", job));
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
    const name = this.name.value;
    const answer = await attempt(() => post("/workshop/jobs", this.#job()));
    if (answer === false) return;
    clearSent(this.name, name);
    this.started(answer.id);
  }
}

/** Return true if a method takes this model: its format, and that it is quantized already if it is. */
const takes = (method, model) => method.sources.includes(model.format) && (model.full || Boolean(method.requantize));

/** Return true if a method with what its fields hold now reads calibration text. */
function isCalibrated(method, fields) {
  if (typeof method?.calibrated !== "object") return Boolean(method?.calibrated);
  const holds = ([name, value]) => fields.find((field) => field.setting.name === name)?.value() === value;
  return Object.entries(method.calibrated).every(holds);
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
