// The results of an evaluation or a comparison: table, plots, failed checks, answers side by side, and files.

import { h } from "../dom.js";
import { address } from "../requests.js";
import { Answers, sideBySide } from "./blind.js";
import { bytes, NONE, number, percent } from "./format.js";
import { plot } from "./plot.js";

/** @type {[string, (row: any) => string][]} */
const COLUMNS = [
  ["Perplexity", (row) => number(row.perplexity)],
  ["KL", (row) => number(row.kl)],
  ["Same top token", (row) => percent(row.top1_agreement)],
  ["Right answers", (row) => percent(row.tasks?.accuracy)],
  ["Bits per weight", (row) => number(row.bits_per_weight)],
  ["Size", (row) => bytes(row.size_bytes)],
  ["Peak memory", (row) => bytes(row.peak_bytes)],
  ["Prefill tokens/s", (row) => number(row.prefill_tokens_per_second)],
  ["Decode tokens/s", (row) => number(row.decode_tokens_per_second)],
  ["Checks", (row) => checks(row)],
];

const failed = (row) => row.checks.filter((check) => !check.passed);
const checks = (row) => (failed(row).length ? `${failed(row).length} failed` : "passed");

/** Return the elements that show the results of a job. */
export function drawResults({ id, results, blind }) {
  const rows = results.rows ?? [results];
  const files = ["csv", "json", "md"].map((ending) =>
    h("a", { href: address(`/workshop/jobs/${id}/export.${ending}`), download: "" }, ending.toUpperCase()),
  );
  const problems = rows.flatMap((row) => failed(row).map((check) => [row.model, check]));
  const notes = rows.flatMap((row) => row.notes ?? []);
  return [
    table(rows),
    ...(rows.length > 1 ? plots(rows) : []),
    problems.length > 0 && h("ul", { class: "warning" }, problems.map(problem)),
    ...notes.map((note) => h("p", { class: "quiet" }, note)),
    answers({ id, results, blind }),
    h("p", { class: "export" }, "Save the table: ", ...files),
  ].filter(Boolean);
}

const problem = ([model, check]) => h("li", {}, h("strong", {}, `${model}, ${check.name}: `), check.detail);

function table(rows) {
  // What was not measured of any model takes no room.
  const columns = COLUMNS.filter(([, show]) => rows.some((row) => show(row) !== NONE));
  const names = ["Model", ...columns.map(([name]) => name)];
  const head = h(
    "tr",
    {},
    names.map((name) => h("th", { scope: "col" }, name)),
  );
  const body = rows.map((row) =>
    h("tr", {}, h("th", { scope: "row" }, row.model), ...columns.map(([, show]) => h("td", {}, show(row)))),
  );
  return h(
    "div",
    { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Table of results" },
    h("table", {}, h("thead", {}, head), h("tbody", {}, body)),
  );
}

/** Return the axis of memory: what was measured, or the size on disk where one of the models was not measured. */
function memory(rows) {
  const measured = rows.every((row) => row.peak_bytes);
  if (measured) return { name: "memory", label: "Peak memory", of: (row) => row.peak_bytes, low: true, show: bytes };
  const label = "Size on disk (memory was not measured)";
  return { name: "size on disk", label, of: (row) => row.size_bytes, low: true, show: bytes };
}

function plots(rows) {
  const quality = { label: "Perplexity (lower is better)", of: (row) => row.perplexity, low: true, show: number };
  const space = memory(rows);
  const speed = {
    label: "Decode tokens/s (higher is better)",
    of: (row) => row.decode_tokens_per_second,
    low: false,
    show: number,
  };
  const drawn = [
    plot(`Quality against ${space.name}`, rows, space, quality),
    plot("Quality against speed", rows, speed, quality),
  ];
  const about =
    "Filled dots, joined by the dashed line, are the Pareto front: no other model is better on one axis without " +
    "being worse on the other.";
  return [h("div", { class: "plots" }, drawn), h("p", { class: "quiet" }, about)];
}

function answers({ id, results, blind }) {
  const found = results.answers ?? [];
  if (!found.length) return null;
  if (found[0].answers) return new Answers(id, found, blind).node;
  const blocks = found.map(({ prompt, answer }) => sideBySide(prompt, [["", answer]]));
  return h("details", { class: "answers", open: true }, h("summary", {}, "Answers"), blocks);
}
