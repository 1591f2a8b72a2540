// The form that makes a quantized model: method, its settings, calibration text and name.

import { h, textButton } from "../dom.js";
import { attempt, post } from "../requests.js";
import { labelled, setOptions, settingField } from "./fields.js";
import { bytes } from "./format.js";

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
    this.text = h("input", {
      type: "text",
      placeholder: "a sample that ships with Paddock",
      autocomplete: "off",
      list: "calibration-texts",
    });
    this.texts = h("datalist", { id: "calibration-texts" });
    const help = "The path of a file or a folder, wikitext2, c4, or a chat.";
    this.calibration = labelled("Calibration text", this.text, help);
    this.name = h("input", { type: "text", placeholder: "the model's name and the method", autocomplete: "off" });
    this.button = textButton("Start", () => this.start(), { kind: "primary", id: "quantize-start" });
    const choice = [labelled("Model", this.model), labelled("Method", this.method)];
    this.node = h(
      "section",
      { class: "panel", "aria-label": "Quantize" },
      h("h2", {}, "Quantize"),
      h("div", { class: "fields" }, choice),
      this.settings,
      this.texts,
      h("div", { class: "fields" }, this.calibration, labelled("Name of the result", this.name)),
      this.advanced,
      h("div", { class: "row" }, this.button),
    );
  }

  update({ models, methods, texts }) {
    this.texts.replaceChildren(...texts.map(({ source, title }) => h("option", { value: source }, title)));
    const full = models.filter((model) => model.full && model.text);
    setOptions(
      this.model,
      full.map(({ name, size_bytes: size }) => [name, `${name} (${bytes(size)})`]),
    );
    this.button.disabled = !full.length;
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
    this.calibration.hidden = !method?.calibrated;
  }

  async start() {
    const settings = {};
    for (const { setting, changed } of this.fields) {
      const value = changed();
      if (value !== null) settings[setting.name] = value;
    }
    const text = this.calibration.hidden ? "" : this.text.value.trim();
    const form = { model: this.model.value, method: this.method.value, name: this.name.value.trim() };
    this.button.disabled = true;
    const answer = await attempt(() => post("/workshop/jobs", { kind: "quantize", ...form, settings, text }));
    this.button.disabled = false;
    if (answer === false) return;
    this.name.value = "";
    this.started(answer.id);
  }
}
