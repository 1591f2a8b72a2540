// The results of an evaluation or a comparison: table, plots, failed checks, answers side by side, and files.

import { h } from "../dom.js";
import { address } from "../requests.js";
import { bytes, number, percent } from "./format.js";
import { plot } from "./plot.js";

/** @type {[string, (row: any) => string][]} */
const COLUMNS = [
  ["Perplexity", (row) => number(row.perplexity)],
  ["KL", (row) => number(row.kl)],
  ["Same top token", (row) => percent(row.top1_agreement)],
  ["Tasks", (row) => percent(row.tasks?.accuracy)],
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
export function drawResults({ id, results }) {
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
    answers(results),
    h("p", { class: "export" }, "Save the table: ", ...files),
  ].filter(Boolean);
}

const problem = ([model, check]) => h("li", {}, h("strong", {}, `${model}, ${check.name}: `), check.detail);

function table(rows) {
  const names = ["Model", ...COLUMNS.map(([name]) => name)];
  const head = h(
    "tr",
    {},
    names.map((name) => h("th", { scope: "col" }, name)),
  );
  const body = rows.map((row) =>
    h("tr", {}, h("th", { scope: "row" }, row.model), ...COLUMNS.map(([, show]) => h("td", {}, show(row)))),
  );
  return h(
    "div",
    { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Table of results" },
    h("table", {}, h("thead", {}, head), h("tbody", {}, body)),
  );
}

function plots(rows) {
  const quality = { label: "Perplexity (lower is better)", of: (row) => row.perplexity, low: true, show: number };
  const size = { label: "Size on disk", of: (row) => row.size_bytes, low: true, show: bytes };
  const speed = {
    label: "Decode tokens/s (higher is better)",
    of: (row) => row.decode_tokens_per_second,
    low: false,
    show: number,
  };
  const bySize = plot("Quality against size", rows, size, quality);
  const drawn = [bySize, plot("Quality against speed", rows, speed, quality)];
  const about = "The dashed line joins the models that no other one beats on both axes.";
  return [h("div", { class: "plots" }, drawn), h("p", { class: "quiet" }, about)];
}

function answers({ answers }) {
  const found = answers ?? [];
  const comparing = found.length && found[0].answers;
  if (!found.length) return null;
  const blocks = found.map(({ prompt, answer, answers: each }) => {
    const texts = Object.entries(each ?? { "": answer });
    const [, first] = texts[0];
    const cell = ([model, text], place) =>
      h("div", {}, model && h("strong", {}, model), h("p", {}, place ? marked(first, text) : text || "(empty)"));
    return h("div", { class: "answer" }, h("p", { class: "prompt" }, shortened(prompt)), h("div", {}, texts.map(cell)));
  });
  const name = comparing ? "Answers side by side" : "Answers";
  return h("details", { class: "answers", open: true }, h("summary", {}, name), blocks);
}

const shortened = (text) => (text.length > 120 ? `${text.slice(0, 120)}…` : text);

/** Return `text` with the words marked that `original` does not have in the same order. */
function marked(original, text) {
  const ours = text.split(/(?<=\s)/);
  const theirs = original.split(/(?<=\s)/).map((word) => word.trim());
  const words = ours.map((word) => word.trim());
  // lengths[i][j]: the longest common sequence of words from i of the text and from j of the original.
  const lengths = Array.from({ length: words.length + 1 }, () => new Array(theirs.length + 1).fill(0));
  for (let i = words.length - 1; i >= 0; i--)
    for (let j = theirs.length - 1; j >= 0; j--)
      lengths[i][j] =
        words[i] === theirs[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
  const parts = [];
  for (let i = 0, j = 0; i < words.length; ) {
    if (j < theirs.length && words[i] === theirs[j]) (parts.push(ours[i]), i++, j++);
    else if (j < theirs.length && lengths[i][j + 1] >= lengths[i + 1][j]) j++;
    else (parts.push(h("mark", {}, ours[i])), i++);
  }
  return parts.length ? parts : ["(empty)"];
}
