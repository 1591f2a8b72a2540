// What a finished job made, and what can be done with it: a quantized model, an adapter, or a merged model.

import { h, onSingleClick, textButton } from "../dom.js";
import { bytes, duration } from "./format.js";

/** Return a row of buttons. The last one is asked about first: `ask` is the question, `yes` its button. */
export function askingRow(buttons, { label, ask, yes, run }) {
  const row = h("div", { class: "row" });
  const first = textButton(label, onSingleClick(() => question()));
  const back = () => (row.replaceChildren(...buttons, first), first.focus({ preventScroll: true }));
  const question = () => {
    const agree = textButton(yes, onSingleClick(() => (back(), run())));
    row.replaceChildren(h("span", {}, ask), agree, textButton("Keep", onSingleClick(back)));
    agree.focus();
  };
  row.append(...buttons, first);
  return row;
}

const discardRow = (buttons, model, actions) =>
  askingRow(buttons, {
    label: "Discard",
    ask: `Discard ${model}?`,
    yes: "Move to the trash",
    run: () => actions.discard(model),
  });

const DRAW = {
  quantize: ({ made, spec }, actions) => {
    const { model, size_bytes: size, source_size_bytes: before, bits_per_weight: bits } = made;
    const text = `${model}: ${bytes(size)}, the original ${bytes(before)}; ${bits} bits per weight.`;
    const buttons = [
      textButton("Open in chat", () => actions.openInChat(model), { kind: "primary" }),
      textButton("Evaluate", () => actions.evaluate(spec.model, model)),
      textButton("Compare with the original", () => actions.compare(spec.model, model)),
    ];
    return { text, row: () => discardRow(buttons, model, actions) };
  },
  train: ({ made }, actions) => {
    const { adapter, model, steps, examples, seconds, size_bytes: size } = made;
    const text =
      `${adapter}: an adapter for ${model}, ${bytes(size)}, trained in ${steps} steps on ${examples} ` +
      `${examples === 1 ? "example" : "examples"} in ${duration(seconds)}. The Model tab lists it under LoRA adapters.`;
    const buttons = [
      textButton("Apply and open in chat", () => actions.apply(model, adapter), { kind: "primary" }),
      textButton("Merge into the model", () => actions.merge(model, adapter, "folder")),
      textButton("Convert to GGUF", () => actions.merge(model, adapter, "adapter-gguf")),
    ];
    return { text, row: () => discardRow(buttons, adapter, actions) };
  },
  merge: ({ made }, actions) => {
    const { model, adapter, source, merged_adapter: merged, size_bytes: size } = made;
    if (adapter)
      return {
        text: `${adapter}: ${merged} for llama.cpp, ${bytes(size)}. Apply it to a GGUF file of ${source}.`,
        row: () => discardRow([], adapter, actions),
      };
    const buttons = [
      textButton("Open in chat", () => actions.openInChat(model), { kind: "primary" }),
      textButton("Compare with the original", () => actions.compare(source, model)),
    ];
    const text = `${model}: ${source} with ${merged} merged into it, ${bytes(size)}.`;
    return { text, row: () => discardRow(buttons, model, actions) };
  },
};

/** Return what a finished job made. `there`: it is still in models/. */
export function drawMade(job, there, actions) {
  const { text, row } = DRAW[job.spec.kind](job, actions);
  const notes = (job.made.notes ?? []).map((note) => h("p", { class: "quiet" }, note));
  const gone = h("p", { class: "quiet" }, "It is no longer in models/.");
  return h("div", { class: "made" }, h("p", {}, text), there ? [...notes, row()] : gone);
}
