// The list of jobs: progress, log, cancel, try again, and what a finished job offers.

import { $, h, textButton } from "../dom.js";
import { showNodes } from "../redraw.js";
import { attempt, get, post } from "../requests.js";
import { duration } from "./format.js";
import { drawMade } from "./made.js";
import { drawResults } from "./results.js";
import { TrainingView } from "./training_view.js";

const STATUS = {
  waiting: "Waiting",
  running: "Running",
  finished: "Finished",
  failed: "Failed",
  cancelled: "Cancelled",
};

// Kind of job -> its button after a failure or a cancellation. A training continues from its newest checkpoint.
const AGAIN = { train: "Resume" };
// Kinds of jobs whose results are a table.
const MEASURES = ["evaluate", "compare"];

/** Return the name of what a finished job made. A training names its model too. */
const made = ({ made, spec }) => (spec.kind === "train" ? made.adapter : (made.model ?? made.adapter));

export class JobList {
  /**
   * `actions`: openInChat(model), compare(original, model), evaluate(original, model), discard(model),
   * apply(model, adapter), merge(model, adapter, to).
   */
  constructor(actions) {
    this.actions = actions;
    this.rows = new Map();
    this.models = new Set();
    this.list = h("div", { class: "jobs" });
    this.empty = h("p", { class: "quiet" }, "No jobs yet.");
    const heading = h("h2", {}, "Jobs");
    this.node = h("section", { class: "panel", "aria-label": "Jobs" }, heading, this.empty, this.list);
  }

  /** Show the jobs, the newest first. Draw only those whose status changed, so that folds stay open. */
  setJobs(jobs) {
    this.jobs = jobs;
    this.empty.hidden = jobs.length > 0;
    // The newest table and the newest training are shown open.
    const measured = jobs.find((job) => job.status === "finished" && MEASURES.includes(job.spec.kind));
    const trained = jobs.find((job) => job.spec.kind === "train");
    for (const id of this.rows.keys()) if (!jobs.some((job) => job.id === id)) this.rows.delete(id);
    for (const job of jobs) {
      const row = this.rows.get(job.id);
      const there = job.made && this.models.has(made(job));
      const key = JSON.stringify([job.status, job.message, job.title, job.made && made(job), there]);
      if (row?.key === key) this.#progress(row.node, job);
      else this.#draw(job, key, there, job === measured || job === trained);
    }
    showNodes(
      this.list,
      jobs.map((job) => this.rows.get(job.id).node),
    );
  }

  /** The models and adapters that there are now: a finished job offers only what is still there. */
  setModels(names) {
    this.models = new Set(names);
    if (this.jobs) this.setJobs(this.jobs);
  }

  /** Show how far the running job is. */
  progress(state) {
    const row = this.rows.get(state.id);
    if (!row) return;
    this.#progress(row.node, state);
    row.training?.refresh();
  }

  /** Scroll to a job. */
  reveal(id) {
    this.rows.get(id)?.node.scrollIntoView({ block: "nearest" });
  }

  #progress(node, { status, step, fraction, seconds_left: left }) {
    if (status !== "running") return;
    const bar = $(".progress", node);
    if (!bar) return;
    const known = fraction !== null;
    bar.classList.toggle("unknown", !known);
    bar.firstElementChild.style.width = known ? `${100 * fraction}%` : "";
    if (known) bar.setAttribute("aria-valuenow", String(Math.round(100 * fraction)));
    else bar.removeAttribute("aria-valuenow");
    const time = left === null ? "" : `about ${duration(left)} left`;
    const done = known ? `${Math.round(100 * fraction)} %` : "";
    $(".state", node).textContent = [step, done, time].filter(Boolean).join(" · ");
    const log = $(".log", node);
    if (log?.open && log.dataset.step !== step) (log.dataset.step = step), this.#readLog(node.dataset.job, log);
  }

  #draw(job, key, there, open) {
    const act = (verb) => attempt(() => post(`/workshop/jobs/${job.id}/${verb}`));
    const { status } = job;
    const buttons = [];
    if (status === "running" || status === "waiting") buttons.push(textButton("Cancel", () => act("cancel")));
    const again = AGAIN[job.spec.kind] ?? "Try again";
    if (status === "failed" || status === "cancelled") buttons.push(textButton(again, () => act("resume")));
    const trains = job.spec.kind === "train" && status !== "waiting";
    const training = trains ? new TrainingView(job.id, open) : null;
    const log = h("details", { class: "log" }, h("summary", {}, "Log"), h("pre", {}));
    log.addEventListener("toggle", () => log.open && this.#readLog(job.id, log));
    const node = h(
      "article",
      { class: "job", "data-job": job.id, "data-row": job.id, "data-status": status },
      h("div", { class: "job-head" }, h("strong", {}, job.title), h("span", { class: "tag" }, STATUS[status])),
      status === "running" && h("div", { class: "progress unknown", role: "progressbar" }, h("span")),
      status === "running" && h("p", { class: "state", "aria-live": "off" }),
      job.message && h("p", { class: status === "failed" ? "warning" : "quiet" }, job.message),
      job.made && drawMade(job, there, this.actions),
      training?.node,
      buttons.length > 0 && h("div", { class: "row" }, buttons),
      status === "finished" && MEASURES.includes(job.spec.kind) && this.#results(job, open),
      log,
    );
    this.#progress(node, job);
    this.rows.set(job.id, { key, node, training });
  }

  async #readLog(id, log) {
    const found = await attempt(() => get(`/workshop/jobs/${id}`));
    if (found !== false) $("pre", log).textContent = found.log + (found.detail ? `\n${found.detail}` : "");
  }

  #results(job, open) {
    const fold = h("details", { class: "results" }, h("summary", {}, "Results"), h("div"));
    const fill = async () => {
      if (fold.dataset.filled) return;
      fold.dataset.filled = "true";
      const found = await attempt(() => get(`/workshop/jobs/${job.id}`));
      if (found === false) delete fold.dataset.filled;
      else fold.lastElementChild.replaceChildren(...drawResults(found));
    };
    fold.addEventListener("toggle", () => fold.open && fill());
    fold.open = open;
    return fold;
  }
}
