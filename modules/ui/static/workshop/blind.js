// The answers of a comparison: side by side with names, or blind, to judge which is better without knowing whose it is.

import { h, textButton } from "../dom.js";
import { keepFocus } from "../redraw.js";
import { attempt, inOrder, post, turns } from "../requests.js";
import { dropdown } from "./fields.js";
import { marked } from "./marked.js";

const VOTES = [
  ["a", "A is better"],
  ["b", "B is better"],
  ["equal", "Equal"],
];

export class Answers {
  /** `answers`: [{prompt, answers: {model: text}}] of job `id`. `blind`: its blind comparison, or null. */
  constructor(id, answers, blind) {
    this.id = id;
    this.answers = answers;
    this.models = Object.keys(answers[0].answers);
    this.body = h("div", { class: "answers-body" });
    this.turn = turns();
    this.inOrder = inOrder();
    this.node = h("details", { class: "answers", open: true }, h("summary", {}, "Answers"), this.body);
    if (blind) this.#showBlind(blind);
    else this.#showNamed();
  }

  #showNamed() {
    const [first, second] = this.models;
    const options = this.models.map((model) => [model, model]);
    const [one, other] = [dropdown(options, first), dropdown(options, second)];
    one.setAttribute("aria-label", "First model to judge");
    other.setAttribute("aria-label", "Second model to judge");
    const start = () => this.#act("start", { models: [one.value, other.value] });
    const choice = this.models.length > 2 ? [one, other] : [];
    const row = h("div", { class: "row judge" }, choice, textButton("Judge without names", start));
    const blocks = this.answers.map(({ prompt, answers }) => sideBySide(prompt, Object.entries(answers)));
    this.#show(row, ...blocks);
  }

  #act(verb, body) {
    const isLatest = this.turn();
    return this.inOrder(async () => {
      const answer = await attempt(() => post(`/workshop/jobs/${this.id}/blind/${verb}`, body));
      // The answer to a later vote has this one too. If that one fails, this is what there is.
      this.blind = answer || this.blind;
      if (isLatest() && this.blind) this.#showBlind(this.blind);
    });
  }

  #show(...nodes) {
    keepFocus(this.body, () => this.body.replaceChildren(...nodes));
  }

  #showBlind(blind) {
    const { pairs, same, revealed } = blind;
    const done = pairs.filter((pair) => pair.vote).length;
    const alike = same === 1 ? "One prompt is" : `${same} prompts are`;
    const left = same ? ` ${alike} left out: both answers are the same.` : "";
    const state = revealed ? tally(blind) : `${done} of ${pairs.length} judged. The order is random for each prompt.`;
    const reveal = textButton("Show the names", () => this.#act("reveal", {}));
    const named = textButton("All answers with names", () => this.#showNamed());
    const text = h("p", { class: "tally", role: "status" }, state + left);
    const row = h("div", { class: "row" }, revealed ? named : reveal);
    this.#show(text, row, ...pairs.map((pair) => this.#pair(pair, revealed)));
  }

  #pair(pair, revealed) {
    const names = pair.models ? [`A: ${pair.models[0]}`, `B: ${pair.models[1]}`] : ["A", "B"];
    const texts = [
      [names[0], pair.a],
      [names[1], pair.b],
    ];
    const block = sideBySide(pair.prompt, texts, false);
    block.dataset.row = String(pair.place);
    const vote = (better) => this.#act("vote", { place: pair.place, better });
    const button = ([key, label]) =>
      textButton(label, () => vote(key), { "aria-pressed": String(pair.vote === key) });
    const chosen = VOTES.find(([key]) => key === pair.vote);
    const said = h("p", { class: "quiet" }, chosen ? `Your vote: ${chosen[1]}` : "No vote");
    block.append(revealed ? said : h("div", { class: "row votes" }, VOTES.map(button)));
    return block;
  }
}

function tally({ tally: counts }) {
  const { equal, ...models } = counts;
  const parts = Object.entries(models).map(([model, count]) => `${model} ${count}`);
  return `Better answers: ${[...parts, `equal ${equal}`].join(" · ")}.`;
}

/** Return the answers to one prompt beside each other. `marks`: mark the words that differ from the first answer. */
export function sideBySide(prompt, texts, marks = true) {
  const [, first] = texts[0];
  const cell = ([name, text], place) => {
    const shown = place && marks ? marked(first, text) : text || "(empty)";
    return h("div", {}, name && h("strong", {}, name), h("p", {}, shown));
  };
  const cells = h("div", { class: "texts" }, texts.map(cell));
  return h("div", { class: "answer" }, h("p", { class: "prompt" }, shortened(prompt)), cells);
}

const shortened = (text) => (text.length > 120 ? `${text.slice(0, 120)}…` : text);
