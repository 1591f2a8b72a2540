// A scatter plot as SVG, with the models that no other model beats joined by a line.

import { h } from "../dom.js";
import { axes, s } from "./axes.js";
import { saveLinks } from "./save_plot.js";

const LETTER = 7.2;

/** Return the points that no other point beats on both axes, from left to right: the Pareto front. */
function front(points, x, y) {
  const better = (axis, one, other) => (axis.low ? axis.of(one) < axis.of(other) : axis.of(one) > axis.of(other));
  const beats = (one, other) =>
    (better(x, one, other) && !better(y, other, one)) || (better(y, one, other) && !better(x, other, one));
  const kept = points.filter((point) => !points.some((other) => beats(other, point)));
  return kept.sort((one, other) => x.of(one) - x.of(other));
}

/**
 * Return a figure, or null for fewer than two points. Rows without a value are left out.
 * `x` and `y`: {label, of(row), low: lower is better, show(value)}.
 */
export function plot(title, rows, x, y) {
  const points = rows.filter((row) => Number.isFinite(x.of(row) ?? NaN) && Number.isFinite(y.of(row) ?? NaN));
  if (points.length < 2) return null;
  const best = front([...points], x, y);
  const text = (row) => `${row.model}: ${x.show(x.of(row))}, ${y.show(y.of(row))}`;
  const spoken = `${title}. ${points.map(text).join("; ")}. Pareto front: ${best.map((row) => row.model).join(", ")}`;
  const drawn = axes(
    spoken,
    { label: x.label, values: points.map(x.of), show: x.show },
    { label: y.label, values: points.map(y.of), show: y.show },
  );
  const { svg, width, across, up } = drawn;
  const line = best.map((row) => `${across(x.of(row))},${up(y.of(row))}`);
  svg.append(s("polyline", { class: "front", points: line.join(" ") }));
  const taken = [];
  for (const row of points) {
    const kind = best.includes(row) ? "dot-mark best" : "dot-mark";
    svg.append(...point(row.model, kind, across(x.of(row)), up(y.of(row)), width, taken));
  }
  return h("figure", {}, h("figcaption", {}, title), svg, saveLinks(title, svg));
}

/** Return a dot and its label, which is moved down until it covers none of those in `taken`. */
function point(name, kind, left, top, width, taken) {
  const length = name.length * LETTER;
  const toRight = left + 12 + length < width;
  const start = toRight ? left + 9 : left - 9 - length;
  let below = top - 6;
  const covers = (one) => Math.abs(one.below - below) < 13 && start < one.end && one.start < start + length;
  while (taken.some(covers)) below += 13;
  taken.push({ start, end: start + length, below });
  const anchor = toRight ? "start" : "end";
  const label = { class: "label", x: toRight ? left + 9 : left - 9, y: below, "text-anchor": anchor };
  return [s("circle", { class: kind, cx: left, cy: top, r: 4.5 }), s("text", label, name)];
}
