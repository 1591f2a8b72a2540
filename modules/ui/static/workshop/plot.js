// A scatter plot as SVG, with the models that no other model beats joined by a line.

import { h } from "../dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 260;
const MARGIN = { left: 58, right: 16, top: 16, bottom: 46 };
const LETTER = 7.2;

function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Return a function from a value to its place between `from` and `to`, with some room at both ends. */
function scale(values, from, to) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low || Math.abs(high) || 1) * 0.12;
  const [least, most] = [low - room, high + room];
  const place = (value) => from + ((value - least) / (most - least)) * (to - from);
  return { place, ticks: [0.1, 0.5, 0.9].map((share) => least + share * (most - least)) };
}

/** Return the points that no other point beats on both axes, from left to right. */
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
  const width = matchMedia("(max-width: 600px)").matches ? 330 : 440;
  const across = scale(points.map(x.of), MARGIN.left, width - MARGIN.right);
  const up = scale(points.map(y.of), HEIGHT - MARGIN.bottom, MARGIN.top);
  const bottom = HEIGHT - MARGIN.bottom;
  const svg = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", xmlns: SVG });
  const spoken = points.map((row) => `${row.model}: ${x.show(x.of(row))}, ${y.show(y.of(row))}`).join("; ");
  svg.append(s("title", {}, `${title}. ${spoken}`));
  for (const tick of across.ticks) {
    const where = { class: "tick", x: across.place(tick), y: bottom + 16, "text-anchor": "middle" };
    svg.append(s("text", where, x.show(tick)));
  }
  for (const tick of up.ticks) {
    const place = up.place(tick);
    svg.append(s("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: place, y2: place }));
    svg.append(s("text", { class: "tick", x: MARGIN.left - 6, y: place + 4, "text-anchor": "end" }, y.show(tick)));
  }
  const axis = { class: "axis", d: `M${MARGIN.left} ${MARGIN.top}V${bottom}H${width - MARGIN.right}` };
  svg.append(s("path", axis));
  const middle = (MARGIN.left + width - MARGIN.right) / 2;
  svg.append(s("text", { class: "name", x: middle, y: HEIGHT - 8, "text-anchor": "middle" }, x.label));
  svg.append(s("text", { class: "name", x: MARGIN.left, y: MARGIN.top - 4 }, y.label));
  const line = front(points, x, y).map((row) => `${across.place(x.of(row))},${up.place(y.of(row))}`);
  svg.append(s("polyline", { class: "front", points: line.join(" ") }));
  const taken = [];
  for (const row of points) svg.append(...point(row, across.place(x.of(row)), up.place(y.of(row)), width, taken));
  return h("figure", {}, h("figcaption", {}, title), svg, saveLink(title, svg));
}

/** Return a dot and its label, which is moved down until it covers none of those in `taken`. */
function point(row, left, top, width, taken) {
  const length = row.model.length * LETTER;
  const toRight = left + 12 + length < width;
  const start = toRight ? left + 9 : left - 9 - length;
  let below = top - 6;
  const covers = (one) => Math.abs(one.below - below) < 13 && start < one.end && one.start < start + length;
  while (taken.some(covers)) below += 13;
  taken.push({ start, end: start + length, below });
  const anchor = toRight ? "start" : "end";
  const label = { class: "label", x: toRight ? left + 9 : left - 9, y: below, "text-anchor": anchor };
  return [s("circle", { class: "dot-mark", cx: left, cy: top, r: 4.5 }), s("text", label, row.model)];
}

/** Return a link that saves the plot as an SVG file, in the colours of the page. */
function saveLink(title, svg) {
  const link = h("a", { href: "#", download: `${title.toLowerCase().replaceAll(" ", "-")}.svg` }, "Save as SVG");
  link.addEventListener("click", () => {
    const copy = svg.cloneNode(true);
    const drawn = svg.querySelectorAll("*");
    copy.querySelectorAll("*").forEach((element, place) => {
      const style = getComputedStyle(drawn[place]);
      for (const name of ["fill", "stroke", "stroke-dasharray", "font-size", "font-family"])
        element.setAttribute(name, style.getPropertyValue(name));
    });
    copy.style.background = getComputedStyle(document.body).backgroundColor;
    link.href = `data:image/svg+xml,${encodeURIComponent(copy.outerHTML)}`;
  });
  return link;
}
