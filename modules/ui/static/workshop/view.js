// The Workshop: choose a method, quantize, evaluate and compare models. Its jobs run in the host, also after a reload.

import { $, h, textButton } from "../dom.js";
import { attempt, get, post } from "../requests.js";
import { toast } from "../toasts.js";
import { JobList } from "./job_list.js";
import { MeasureCard } from "./measure_card.js";
import { QuantizeCard } from "./quantize_card.js";
import { RecommendCard } from "./recommend_card.js";

export class Workshop {
  /** `openInChat(model)` loads a model and shows the chat. */
  constructor({ openInChat }) {
    const started = (id) => (this.wanted = id);
    this.quantize = new QuantizeCard({ started });
    this.recommend = new RecommendCard({ quantize: (...args) => this.quantize.open(...args) });
    this.measure = new MeasureCard({ started });
    this.jobs = new JobList({
      openInChat,
      compare: (original, model) => this.measure.start("compare", original, [original, model]),
      evaluate: (original, model) => this.measure.start("evaluate", original, [model]),
      discard: (model) => this.discard(model),
    });
    this.trash = h("details", { class: "panel", id: "trash" }, h("summary", {}, "Trash"), h("ul"));
    const parts = [this.recommend, this.quantize, this.measure, this.jobs];
    $("#workshop").append(h("div", { class: "workshop" }, ...parts.map((part) => part.node), this.trash));
  }

  /** Read the models and methods again. */
  async refresh() {
    const state = await attempt(() => get("/workshop/state"));
    if (state === false) return;
    for (const card of [this.recommend, this.quantize, this.measure]) card.update(state);
    this.jobs.setModels(state.models.map((model) => model.name));
    this.trash.hidden = !state.trash.length;
    const row = ({ id, name }) => h("li", {}, `${name} `, textButton("Restore", () => this.restore(id)));
    this.trash.lastElementChild.replaceChildren(...state.trash.map(row));
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

  /** Show a message when a job has ended while another view is shown. `job`: the one that ended last, or null. */
  jobEnded(job, show) {
    const key = JSON.stringify(job);
    const news = this.lastEnded !== undefined && key !== this.lastEnded;
    this.lastEnded = key;
    if (!news || !job || document.body.dataset.view === "workshop" || job.status === "cancelled") return;
    const failed = job.status === "failed";
    const text = failed ? `${job.title} failed. ${job.message}` : `${job.title} has finished.`;
    toast(text, { error: failed, action: { label: "Open Workshop", run: show } });
  }

  progress(state) {
    this.jobs.progress(state);
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
