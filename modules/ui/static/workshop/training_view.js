// A training: the curve of its loss while it runs, and its answers to the sample prompt.

import { h } from "../dom.js";
import { keepFocus } from "../redraw.js";
import { attempt, get } from "../requests.js";
import { axes, s } from "./axes.js";
import { number } from "./format.js";
import { saveLinks } from "./save_plot.js";

// Milliseconds between two requests for the losses of a running training.
const PACE = 1000;
const LINES = [
  ["losses", "Loss", "loss-line"],
  ["validation", "Validation loss", "loss-line validation"],
];

export class TrainingView {
  constructor(id, open) {
    this.id = id;
    this.node = h("details", { class: "training", open }, h("summary", {}, "Loss and answers"), h("div"));
    this.read = -PACE;
    this.node.addEventListener("toggle", () => this.refresh());
    this.refresh();
  }

  /** Read the losses again, if they are shown and some time has passed. */
  async refresh() {
    if (!this.node.open || performance.now() - this.read < PACE) return;
    this.read = performance.now();
    const found = await attempt(() => get(`/workshop/jobs/${this.id}/training`));
    const body = this.node.lastElementChild;
    if (found !== false) keepFocus(body, () => body.replaceChildren(...drawTraining(found)));
  }
}

/** Return the elements that show {losses, validation, samples} of a training. */
function drawTraining(found) {
  const { samples } = found;
  const rows = samples.map(({ epoch, text }) =>
    h("li", {}, h("span", { class: "tag" }, `Epoch ${epoch}`), ` ${text || "(empty)"}`),
  );
  const title = h("strong", {}, "Answers to the sample prompt");
  const answers = h("div", { class: "samples" }, title, h("ol", {}, rows.reverse()));
  const none = h("p", { class: "quiet" }, "The curve begins with the second step.");
  return [curve(found) ?? none, ...(samples.length ? [answers] : [])];
}

/** Return the figure of the losses by step, or null before the second one. */
function curve(found) {
  const lines = LINES.filter(([key]) => found[key].length);
  const points = lines.flatMap(([key]) => found[key]);
  if (found.losses.length < 2) return null;
  const ends = lines.map(([key, name]) => `${name} ${number(found[key].at(-1)[1])} after step ${found[key].at(-1)[0]}`);
  const x = { label: "Step", values: points.map(([step]) => step), show: (value) => String(Math.round(value)) };
  const y = { label: "Loss (lower is better)", values: points.map(([, loss]) => loss), show: number };
  const { svg, across, up } = axes(`Loss by step. ${ends.join("; ")}`, x, y);
  for (const [key, , kind] of lines) {
    const places = found[key].map(([step, loss]) => [across(step), up(loss)]);
    svg.append(s("polyline", { class: kind, points: places.join(" ") }));
    const [left, top] = places.at(-1);
    svg.append(s("circle", { class: `${kind} end`, cx: left, cy: top, r: 3.5 }));
  }
  const caption = h("p", { class: "quiet" }, `${ends.join(". ")}.`);
  const figure = h("figure", {}, h("figcaption", {}, "Loss"), svg, caption, saveLinks("Loss", svg));
  return h("div", { class: "plots" }, figure);
}
