// The Workshop: choose a method, quantize, evaluate, compare and train models. Its jobs run in the host, also after a
// reload.

import { announce } from "../announcer.js";
import { $, h, targetOf } from "../dom.js";
import { attempt, get, post } from "../requests.js";
import { toast } from "../toasts.js";
import { JobList } from "./job_list.js";
import { MeasureCard } from "./measure_card.js";
import { ModelList } from "./model_list.js";
import { QuantizeCard } from "./quantize_card.js";
import { RecommendCard } from "./recommend_card.js";
import { TrainCard } from "./train_card.js";

export class Workshop {
  /** `openInChat(model, load)` shows a new chat and loads a model, where `load` is given by that. */
  constructor({ openInChat }) {
    const started = (id) => (this.wanted = id);
    this.quantize = new QuantizeCard({ started });
    this.recommend = new RecommendCard({ quantize: (...args) => this.quantize.open(...args) });
    this.measure = new MeasureCard({ started });
    this.train = new TrainCard({ started });
    this.openInChat = openInChat;
    this.jobs = new JobList({
      openInChat,
      compare: (original, model) => this.measure.start("compare", original, [original, model]),
      evaluate: (original, model) => this.measure.start("evaluate", original, [model]),
      discard: (model) => this.discard(model),
      apply: (model, adapter) => this.apply(model, adapter),
      merge: (model, adapter, to) => this.merge(model, adapter, to),
    });
    this.models = new ModelList({
      rename: (model, name) => this.rename(model, name),
      discard: (model) => this.discard(model),
      restore: (id) => this.restore(id),
    });
    const parts = [this.recommend, this.quantize, this.measure, this.train, this.jobs, this.models];
    $("#workshop").append(h("div", { class: "workshop" }, ...parts.map((part) => part.node)));
    document.addEventListener("click", (event) => {
      if (targetOf(event).closest?.("[data-open-models]")) this.#showModels();
    });
  }

  /** Show the list of models: the Model tab has a button that leads here. */
  async #showModels() {
    if (!matchMedia("(min-width: 1180px)").matches) $("#close-drawer").click();
    $(".views [data-view=workshop]").click();
    await this.refresh();
    this.models.node.scrollIntoView();
  }

  /** Read the models and methods again. */
  async refresh() {
    const state = await attempt(() => get("/workshop/state"));
    if (state === false) return;
    for (const card of [this.recommend, this.quantize, this.measure, this.train, this.models]) card.update(state);
    this.jobs.setModels([...state.models, ...state.adapters].map(({ name }) => name));
  }

  /** The host sent the list of jobs. A job that ended may have made a model. */
  setJobs(jobs) {
    const ended = JSON.stringify(jobs.filter((job) => job.status === "finished").map((job) => job.id));
    const more = this.ended !== undefined && ended !== this.ended;
    this.ended = ended;
    this.jobs.setJobs(jobs);
    if (more) this.refresh();
    if (this.wanted && jobs.some((job) => job.id === this.wanted)) {
      this.jobs.reveal(this.wanted);
      this.wanted = null;
    }
  }

  /**
   * Show a message when a job has ended while another view is shown. The Workshop shows it in the list, and announces
   * it to screen readers. `job`: the one that ended last, or null.
   */
  jobEnded(job, show) {
    const key = JSON.stringify(job);
    const news = this.lastEnded !== undefined && key !== this.lastEnded;
    this.lastEnded = key;
    if (!news || !job || job.status === "cancelled") return;
    const failed = job.status === "failed";
    const text = failed ? `${job.title} failed. ${job.message}` : `${job.title} has finished.`;
    if (document.body.dataset.view === "workshop") return announce(text);
    toast(text, { error: failed, action: { label: "Open Workshop", run: show } });
  }

  progress(state) {
    this.jobs.progress(state);
  }

  /** Load a model with an adapter, and show a new chat while it loads. */
  apply(model, adapter) {
    this.openInChat(model, () => post("/workshop/adapters/load", { model, adapter }));
  }

  /** Start a job that merges an adapter into its model, or converts it. */
  async merge(model, adapter, to) {
    const answer = await attempt(() => post("/workshop/jobs", { kind: "merge", model, adapter, to }));
    if (answer !== false) this.wanted = answer.id;
  }

  /** Rename a model or an adapter. Resolve to false if that failed. */
  async rename(model, name) {
    const answer = await attempt(() => post("/workshop/models/rename", { model, name }));
    if (answer === false) return false;
    await this.refresh();
    toast(`${model} is now called ${answer.model}.`);
    return true;
  }

  async discard(model) {
    const answer = await attempt(() => post("/workshop/models/discard", { model }));
    if (answer === false) return;
    await this.refresh();
    toast(`${model} is in the trash.`, { action: { label: "Undo", run: () => this.restore(answer.trash) } });
  }

  async restore(id) {
    await attempt(() => post("/workshop/models/restore", { trash: id }));
    await this.refresh();
  }
}
