// The form that measures models: one of them, or several beside the original.

import { h, textButton } from "../dom.js";
import { keepFocus } from "../redraw.js";
import { attempt, post } from "../requests.js";
import { labelled, setOptions } from "./fields.js";
import { bytes } from "./format.js";
import { SAMPLE, TEXTS, TextField } from "./text_field.js";

const NONE = "";

export class MeasureCard {
  /** `started(id)` is called with the id of each job that was started. */
  constructor({ started }) {
    this.started = started;
    this.original = h("select", { id: "measure-original", onchange: () => this.#check() });
    this.models = h("fieldset", { class: "models" }, h("legend", {}, "Models"));
    this.models.addEventListener("change", () => this.#check());
    this.text = new TextField("Text", { id: "measure-text", sample: SAMPLE, endings: TEXTS });
    this.tasks = new TextField("Questions", {
      id: "measure-tasks",
      placeholder: "none",
      help: "A .jsonl file of yours with questions and their answers: the table then has the share of right answers.",
      endings: [".jsonl"],
    });
    this.tasks.node.classList.add("wide");
    this.tokens = h("input", { type: "number", min: "32", step: "1", value: "8192" });
    this.evaluate = textButton("Evaluate", () => this.#start("evaluate"), { id: "evaluate-start", disabled: true });
    const primary = { kind: "primary", id: "compare-start", disabled: true };
    this.compare = textButton("Compare", () => this.#start("compare"), primary);
    const about =
      "Evaluate measures one model. Compare measures the original and every model that is ticked on the same text, " +
      "and shows their answers side by side.";
    const fields = [
      labelled("Original", this.original),
      this.text.node,
      labelled("Longest text (tokens)", this.tokens),
      this.tasks.node,
    ];
    this.node = h(
      "section",
      { class: "panel", "aria-label": "Evaluate and compare" },
      h("h2", {}, "Evaluate and compare"),
      h("p", { class: "quiet" }, about),
      this.models,
      h("div", { class: "fields" }, fields),
      h("div", { class: "row" }, this.compare, this.evaluate),
    );
  }

  update({ models, texts }) {
    this.text.setTexts(texts);
    const able = models.filter((model) => model.text);
    const options = able.map(({ name }) => [name, name]);
    setOptions(this.original, [[NONE, "none"], ...options], able.find((model) => model.full)?.name ?? NONE);
    if (!this.drawn) this.original.value = able.find((model) => model.full)?.name ?? NONE;
    this.drawn = true;
    const ticked = new Set(this.#ticked());
    const [legend] = this.models.children;
    const box = ({ name, size_bytes: size }) =>
      h(
        "label",
        { class: "check" },
        h("input", { type: "checkbox", value: name, checked: ticked.has(name) }),
        h("span", {}, `${name} (${bytes(size)})`),
      );
    const boxes = able.map(box);
    keepFocus(this.models, () => this.models.replaceChildren(legend, ...boxes));
    this.#check();
  }

  #ticked() {
    return [...this.models.querySelectorAll("input:checked")].map((box) => box.value);
  }

  #others() {
    return this.#ticked().filter((name) => name !== this.original.value);
  }

  #check() {
    this.evaluate.disabled = this.#ticked().length !== 1;
    this.compare.disabled = !this.original.value || !this.#others().length;
  }

  #start(kind) {
    const original = this.original.value;
    return this.start(kind, original, kind === "compare" ? [original, ...this.#others()] : this.#ticked());
  }

  /** Start a job that measures `models`; a comparison begins with the original. */
  async start(kind, original, models) {
    const settings = this.tokens.value ? { tokens: this.tokens.value } : {};
    const against = kind === "evaluate" && original !== models[0] ? original : "";
    const job = { kind, settings, text: this.text.value(), tasks: this.tasks.value(), against };
    const wanted = kind === "compare" ? { ...job, models } : { ...job, model: models[0] };
    const answer = await attempt(() => post("/workshop/jobs", wanted));
    if (answer !== false) this.started(answer.id);
  }
}
