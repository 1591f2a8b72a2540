// The parts of a message: its files, its text, and the reasoning and the calls of tools before it, which are folded.

import { drawAttached } from "./attached_parts.js";
import { drawFacts, factsOf, h } from "./dom.js";
import { drawCall } from "./tool_call.js";

// The folds of a message, whose state is kept while it is drawn again.
const FOLDS = "details:is(.thinking, .attached, .tool-call)";
const OPEN_WHILE_RUNNING = "paddock.thinking";

const opensWhileRunning = () => localStorage.getItem(OPEN_WHILE_RUNNING) === "open";

/** Return the element of a settled part: {kind, html, label}, of a file, or of a call. Markdown comes without HTML. */
export function drawPart(part) {
  if (part.hash) return drawAttached(part);
  if (part.call) return drawCall(part.call, () => {});
  const { kind, html, label } = part;
  const { node, content } = newPart(kind, label, false);
  content.innerHTML = html;
  return node;
}

/** Return {node, content, name} of an empty part. `name` is the element of a fold's label. */
function newPart(kind, label, running) {
  const content = h("div", { class: "part" });
  if (kind !== "reasoning") return { node: content, content, name: null };
  const name = drawFacts("label", label ?? "");
  const summary = h("summary", {}, name);
  const node = h("details", { class: running ? "thinking running" : "thinking" }, summary, content);
  summary.addEventListener("click", () => {
    // Before the browser opens or closes it.
    node.dataset.chosen = node.open ? "closed" : "open";
    if (node.classList.contains("running")) localStorage.setItem(OPEN_WHILE_RUNNING, node.dataset.chosen);
  });
  node.open = running && opensWhileRunning();
  return { node, content, name };
}

/** Let the folds of a message that was drawn again be as the person left them. */
export function keepFolds(before, after) {
  const folds = after.querySelectorAll(FOLDS);
  before.querySelectorAll(FOLDS).forEach((fold, place) => {
    const now = folds[place];
    if (!now) return;
    const isCall = fold.classList.contains("tool-call");
    if (fold.dataset.chosen || isCall) [now.dataset.chosen, now.open] = [fold.dataset.chosen ?? "", fold.open];
    if (fold.contains(document.activeElement)) requestAnimationFrame(() => now.querySelector("summary").focus());
  });
}

/**
 * The parts of the message that is being written. `waiting` is shown until the first one. `answer(id, answer)` answers
 * a call of a tool that asks. `before`: the parts of the same message as it was drawn before, whose folds are kept.
 */
export class LivingParts {
  constructor(body, answer, before = null) {
    this.body = body;
    this.answer = answer;
    this.earlier = before ? before.parts.map(({ node }) => node) : [];
    this.parts = [];
    this.waiting = h("div", { class: "waiting", translate: "yes", "aria-label": "The model is reading" });
    body.append(this.waiting);
  }

  /** Apply the changes of one event (LivingParts.update in message_parts.py). */
  apply(changes) {
    for (const change of changes) {
      if (change.new) this.#begin(change);
      if (change.call) continue;
      const part = this.parts[change.place];
      if (change.label && part.name) part.name.replaceChildren(...factsOf(change.label));
      if (change.done) this.#end(part);
      if (change.add) part.tail.insertAdjacentHTML("beforebegin", change.add);
      part.html = part.html.slice(0, change.cut) + change.tail;
      part.tail.innerHTML = part.html;
    }
  }

  /** Begin a part. The parts from its place on are gone. */
  #begin({ new: kind, place, label, call }) {
    this.waiting.remove();
    for (const part of this.parts.splice(place)) part.node.remove();
    if (call) {
      const node = drawCall(call, this.answer);
      this.#keepFold(place, node);
      this.body.append(node);
      this.parts.push({ node });
      return;
    }
    const part = newPart(kind, label, true);
    const tail = h("div", { class: "tail" });
    part.content.append(tail);
    this.#keepFold(place, part.node);
    this.body.append(part.node);
    this.parts.push({ ...part, tail, html: "" });
  }

  #keepFold(place, node) {
    const before = this.earlier[place];
    if (before?.tagName !== "DETAILS" || node.tagName !== "DETAILS") return;
    if (before.dataset.chosen) node.dataset.chosen = before.dataset.chosen;
    if (before.dataset.chosen || node.classList.contains("tool-call")) node.open = before.open;
  }

  /** The reasoning has ended. A fold that was open because it ran is closed. */
  #end({ node }) {
    if (!node.classList.contains("running")) return;
    node.classList.remove("running");
    if (!node.dataset.chosen) node.open = false;
  }
}
