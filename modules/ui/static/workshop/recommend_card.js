// The first card of the Workshop: which method fits a model, this machine and what matters.

import { h, textButton } from "../dom.js";
import { attempt, post, turns } from "../requests.js";
import { dropdown, labelled, setOptions, ticked } from "./fields.js";
import { bytes, number } from "./format.js";

const AIMS = { balance: "Balance", quality: "Quality", speed: "Speed", memory: "Little memory" };
// Kind of hardware -> its name. "" is the machine that runs Paddock.
const HARDWARE = {
  "": "This machine",
  cuda: "NVIDIA card",
  rocm: "AMD card",
  metal: "Apple silicon",
  cpu: "CPU alone",
};
const CARDS = ["cuda", "rocm"];
const TITLES = {
  gptq: "GPTQ",
  awq: "AWQ",
  gguf: "GGUF",
  nf4: "bitsandbytes NF4",
  int8: "bitsandbytes INT8",
  hqq: "HQQ",
  w8a8: "SmoothQuant W8A8",
  exl2: "EXL2",
  exl3: "EXL3",
};

/** Return the name of a recommended method with its settings, such as "GGUF Q4_K_M". */
function title({ method, settings }) {
  const { type, bits, group_size: group } = settings;
  const parts = [method === "gguf" && type, bits && `${bits} bits`, group && `groups of ${group}`].filter(Boolean);
  return [TITLES[method] ?? method, parts.join(", ")].filter(Boolean).join(" · ");
}

export class RecommendCard {
  /** `quantize(model, method, settings)` opens the form that makes a model. */
  constructor({ quantize }) {
    this.quantize = quantize;
    this.model = h("select", { id: "recommend-model" });
    this.aim = dropdown(Object.entries(AIMS), "balance", () => (this.aimChosen = true));
    this.turn = turns();
    this.context = h("input", { type: "number", min: "0", step: "1", placeholder: "as the loader sets it" });
    this.hardware = dropdown(Object.entries(HARDWARE), "", () => this.#chooseHardware());
    this.hardware.id = "recommend-hardware";
    const gibibytes = (value) => h("input", { type: "number", min: "0", step: "any", value, placeholder: "as here" });
    this.memory = gibibytes("16");
    this.main = gibibytes("");
    this.memoryFields = [
      labelled("Memory of the hardware (GiB)", this.memory),
      labelled("Main memory beside the card (GiB)", this.main),
    ];
    this.fineTune = h("input", { type: "checkbox", id: "recommend-fine-tune" });
    this.text = h("input", { type: "checkbox", checked: true, id: "recommend-calibration" });
    const off = { kind: "primary", id: "recommend-start", disabled: true };
    this.button = textButton("Recommend", () => this.run(), off);
    this.answer = h("div", { id: "recommendation", "aria-live": "polite" });
    const form = [
      labelled("Model in full precision", this.model),
      labelled("What matters", this.aim),
      labelled("Context (tokens)", this.context),
      labelled("Hardware", this.hardware),
      ...this.memoryFields,
      ticked(this.fineTune, "It will be fine-tuned"),
      ticked(this.text, "There is text like what it will write", "For methods that are calibrated. A sample ships."),
    ];
    this.node = h(
      "section",
      { class: "panel", "aria-label": "Recommend" },
      h("h2", {}, "Which method fits?"),
      h("div", { class: "fields", onchange: () => this.#clear() }, form),
      h("div", { class: "row" }, this.button),
      this.answer,
    );
    this.#chooseHardware();
  }

  update({ models, aim }) {
    const full = models.filter((model) => model.full && model.text);
    setOptions(
      this.model,
      full.map(({ name, size_bytes: size }) => [name, `${name} (${bytes(size)})`]),
    );
    this.button.disabled = !full.length;
    if (!this.aimChosen) this.aim.value = aim;
    this.aimChosen = true;
    if (!full.length)
      this.answer.replaceChildren(h("p", { class: "quiet" }, "Put a model in 16 or 32 bits into models/ first."));
  }

  /** Ask for the memory of hardware that is not this machine. */
  #chooseHardware() {
    const [memory, main] = this.memoryFields;
    memory.hidden = !this.hardware.value;
    main.hidden = !CARDS.includes(this.hardware.value);
  }

  /** Return the hardware as `recommend --device` takes it. */
  #device() {
    const kind = this.hardware.value;
    if (!kind) return "";
    const main = CARDS.includes(kind) && this.main.value ? `,cpu:${this.main.value}GiB` : "";
    return `${kind}:${this.memory.value}GiB${main}`;
  }

  /** Remove the answer, and what is still awaited: they are about other choices. */
  #clear() {
    this.turn();
    this.answer.replaceChildren();
  }

  async run() {
    const isLatest = this.turn();
    const request = {
      model: this.model.value,
      aim: this.aim.value,
      context: Number(this.context.value) || 0,
      device: this.#device(),
      fine_tune: this.fineTune.checked,
      calibration: this.text.checked,
    };
    const found = await attempt(() => post("/workshop/recommend", request));
    if (found !== false && isLatest()) this.#show(found);
  }

  #show(found) {
    const possible = found.methods.filter((one) => one.rank);
    const impossible = found.methods.filter((one) => !one.rank);
    const row = (one) => this.#method(found.model, one);
    const why = (one) => h("li", {}, h("strong", {}, `${title(one)}: `), one.why_not);
    const folded = [h("summary", {}, `Not possible here (${impossible.length})`), h("ul", {}, impossible.map(why))];
    const sizes = Object.entries(found.bytes_per_precision).map(([name, size]) => `${name} ${bytes(size)}`);
    this.answer.replaceChildren(
      h("ol", { class: "methods" }, possible.map(row)),
      ...(impossible.length ? [h("details", { class: "impossible" }, ...folded)] : []),
      h("details", {}, h("summary", {}, "Size in each precision"), h("p", { class: "quiet" }, sizes.join(" · "))),
    );
  }

  #method(model, one) {
    const loss = one.loss_source && `perplexity +${number(one.expected_loss)} (${one.loss_source})`;
    const speed = one.tokens_per_second && `at most ${number(one.tokens_per_second)} tokens/s`;
    const facts = [`${bytes(one.size_bytes)} on disk`, `${bytes(one.memory_bytes)} of memory`, loss, speed];
    const start = () => this.quantize(model, one.quantizer, one.settings);
    const label = `Quantize ${model} as ${title(one)}`;
    return h(
      "li",
      { "data-method": one.method },
      h("div", { class: "method-head" }, h("strong", {}, title(one)), h("span", { class: "tag" }, one.loader)),
      h("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
      h("p", { class: "quiet" }, one.reason),
      textButton("Quantize", start, { "aria-label": label }),
    );
  }
}
