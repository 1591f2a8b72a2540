// Shows the state of the loaded model (model_status.py): in the header, the load bar, the drawer, and as toasts.

import { $, $$ } from "./dom.js";
import { attempt, post } from "./requests.js";
import { removeToast, toast } from "./toasts.js";

const COMPARED = ["phase", "model", "loader", "adapters", "error"];
const LOADING = ["installing", "starting", "loading"];

const differs = (one, other) => JSON.stringify(one) !== JSON.stringify(other);

export class ModelState {
  constructor() {
    this.state = null;
    // Set to true to show no toast for the next state, because a new connection begins with the current one.
    this.firstOfConnection = true;
    this.shownError = null;
  }

  /** Show a new state. */
  update(state) {
    const before = this.state;
    this.state = state;
    // A model may be ready while another one waits for its loader's installation.
    const busy = LOADING.includes(state.phase) || Boolean(state.text);
    this.#updatePill(busy);
    updateLoadBar(busy, state.fraction);
    const changed = COMPARED.some((part) => differs(before?.[part], state[part]));
    const downloadsChanged = before && differs(before.downloads, state.downloads);
    if (downloadsChanged) updateDownloads(state.downloads.under_way);
    const listsChanged =
      before && (before.downloads.turns !== state.downloads.turns || before.extensions !== state.extensions);
    const drawerOpen = document.body.classList.contains("drawer-open");
    if (before && (changed || listsChanged) && !busy && drawerOpen) $("#refresh-all")?.click();
    if (state.phase === "ready" && !state.error && this.shownError) this.shownError = removeToast(this.shownError);
    if (this.firstOfConnection) this.firstOfConnection = false;
    else if (state.error && changed && !downloadsChanged) this.#showError(state.error);
  }

  /** Show the speed of the reply that is being written, in tokens per second, or 0 for none. */
  showSpeed(speed) {
    if (this.state?.phase !== "ready" || this.state.text) return;
    const parts = [this.state.model, this.state.title, speed && `${speed.toFixed(1)} tokens/s`];
    $("#model-pill .pill-text").textContent = parts.filter(Boolean).join(" · ");
  }

  #updatePill(busy) {
    const { phase, model, title, text, fraction, context, on_cards: onCards } = this.state;
    const pill = $("#model-pill");
    pill.dataset.phase = phase;
    const percent = fraction === null ? "" : ` ${Math.round(fraction * 100)} %`;
    const labels = {
      ready: `${model} · ${title}`,
      empty: "No model loaded",
      failed: model ? `${model} failed` : "No model loaded",
    };
    $(".pill-text", pill).textContent = busy ? `${text || "Loading"}${percent}` : labels[phase];
    const cards = onCards ? `, ${onCards} on graphics cards` : "";
    const tokens = context?.toLocaleString();
    const facts = phase === "ready" ? `${model}, ${title}, context of ${tokens} tokens${cards}. ` : "";
    pill.title = `${facts}Open the Model tab`;
  }

  #showError(error) {
    const lower = { label: "Lower and retry", run: () => attempt(() => post("/model/lower")) };
    if (this.shownError !== error.error) removeToast(this.shownError);
    // The reply that the error ended shows it already.
    const inReply = $$(".reply-error > p").filter((one) => one.checkVisibility());
    if (inReply.some((one) => one.textContent === error.error)) return;
    this.shownError = error.error;
    toast(error.error, { error: true, detail: error.detail, action: error.lower.length ? lower : null });
  }
}

function updateLoadBar(busy, fraction) {
  const bar = $("#load-bar");
  bar.hidden = !busy;
  setProgress(bar, fraction === null ? null : fraction * 100);
  if (fraction === null) bar.removeAttribute("aria-valuenow");
  else bar.setAttribute("aria-valuenow", String(Math.round(fraction * 100)));
}

/** Show the progress of each download in its row on the Model tab. */
function updateDownloads(running) {
  for (const [name, { text, percent }] of Object.entries(running)) {
    const row = document.getElementById(`download-${name}`);
    const bar = row && $(".progress", row);
    if (!bar) continue;
    $(".state", row).textContent = text;
    setProgress(bar, percent);
  }
}

function setProgress(bar, percent) {
  bar.classList.toggle("unknown", percent === null);
  bar.firstElementChild.style.width = percent === null ? "" : `${percent}%`;
}
