// Axes of a plot as SVG.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 260;
const MARGIN = { left: 58, right: 16, top: 24, bottom: 46 };

/** Return a new SVG element. */
export function s(tag, attributes = {}, ...children) {
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
  return { place, ticks: roundNumbers(least, most) };
}

/** Return two to five round numbers between two values. */
function roundNumbers(least, most) {
  const rough = (most - least) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const first = Math.ceil(least / step);
  const count = Math.floor(most / step) - first + 1;
  return Array.from({ length: count }, (_, number) => (first + number) * step);
}

/**
 * Return {svg, width, across(value), up(value)}: an SVG with two axes. `spoken` is its text for screen readers.
 * `x` and `y`: {label, values, show(value)}.
 */
export function axes(spoken, x, y) {
  const width = matchMedia("(max-width: 600px)").matches ? 330 : 440;
  const bottom = HEIGHT - MARGIN.bottom;
  const across = scale(x.values, MARGIN.left, width - MARGIN.right);
  const up = scale(y.values, bottom, MARGIN.top);
  const svg = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", xmlns: SVG }, s("title", {}, spoken));
  for (const tick of across.ticks) {
    const where = { class: "tick", x: across.place(tick), y: bottom + 16, "text-anchor": "middle" };
    svg.append(s("text", where, x.show(tick)));
  }
  for (const tick of up.ticks) {
    const place = up.place(tick);
    svg.append(s("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: place, y2: place }));
    svg.append(s("text", { class: "tick", x: MARGIN.left - 6, y: place + 4, "text-anchor": "end" }, y.show(tick)));
  }
  svg.append(s("path", { class: "axis", d: `M${MARGIN.left} ${MARGIN.top}V${bottom}H${width - MARGIN.right}` }));
  const middle = (MARGIN.left + width - MARGIN.right) / 2;
  svg.append(s("text", { class: "name", x: middle, y: HEIGHT - 8, "text-anchor": "middle" }, x.label));
  svg.append(s("text", { class: "name", x: MARGIN.left, y: MARGIN.top - 10 }, y.label));
  return { svg, width, across: across.place, up: up.place };
}
