// A call of a tool in a reply: folded with its arguments and result, or with buttons while it asks.

import { h, textButton } from "./dom.js";

const LABELS = {
  waits: (name) => `Will call ${name}`,
  runs: (name) => `Running ${name}`,
  ok: (name) => `Called ${name}`,
  failed: (name) => `${name} failed`,
  refused: (name) => `${name} was not allowed`,
  stopped: (name) => `${name} was stopped`,
};
const ANSWERS = [
  ["once", "Allow once", "primary"],
  ["chat", "Allow in this chat", ""],
  ["always", "Always allow", ""],
  ["refuse", "Do not allow", ""],
];

// Its words are the page's, although it stands in a message, whose direction they leave alone.
const OWN = { translate: "yes", dir: "auto" };

/** Return the element of a call (`_call` in message_parts.py). `answer(id, answer)` is what its buttons do. */
export function drawCall(call, answer) {
  return call.state === "asks" ? drawQuestion(call, answer) : drawFold(call);
}

function drawQuestion(call, answer) {
  const { name, source } = call;
  const asks = source ? `The model wants to call ${name} from ${source}.` : `The model wants to call ${name}.`;
  const buttons = ANSWERS.map(([word, label, kind]) =>
    textButton(
      label,
      () => {
        for (const button of buttons) button.disabled = true;
        answer(call.id, word);
      },
      { kind },
    ),
  );
  return h(
    "section",
    { class: "tool-call asks", ...OWN, "aria-label": `Call of ${name}` },
    h("p", { role: "alert" }, asks),
    drawArguments(call),
    h("div", { class: "row" }, buttons),
  );
}

function drawFold(call) {
  const label = (LABELS[call.state] ?? LABELS.ok)(call.name);
  const time = call.time ? h("span", { class: "time" }, ` · ${call.time}`) : null;
  const fold = h(
    "details",
    { class: `tool-call ${call.state}`, ...OWN },
    h("summary", {}, h("span", { class: "label" }, label), time),
    drawArguments(call),
  );
  if (call.result !== undefined) {
    const name = call.state === "ok" ? "Result" : "Error";
    // Scrolled with the keyboard, so it takes the focus.
    const attributes = { class: "tool-result", tabindex: "0", role: "group", "aria-label": `${name} of ${call.name}` };
    fold.append(
      h("p", { class: "tool-name" }, name),
      call.result ? h("pre", attributes, call.result) : h("p", {}, "Nothing"),
    );
  }
  return fold;
}

function drawArguments({ arguments: pairs }) {
  if (!pairs.length) return h("p", { class: "tool-name" }, "Without arguments");
  return h(
    "dl",
    { class: "tool-arguments", translate: "no" },
    pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", { dir: "auto" }, value)]),
  );
}
