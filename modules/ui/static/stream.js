// The page's one event stream. A hidden page closes it, since browsers allow six connections to a host. When the page
// is shown again, the host sends everything again.

import { address } from "./requests.js";
import { removeDisconnected, showDisconnected } from "./toasts.js";

const CHAT_EVENTS = ["messages", "living", "state", "chats", "folders", "answering"];
const EVENTS = [...CHAT_EVENTS, "text", "growth", "jobs", "progress", "gone"];

export class Stream {
  constructor(handlers, onLost) {
    this.handlers = handlers;
    this.onLost = onLost;
    this.path = null;
    this.source = null;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => event.persisted && this.open());
  }

  /** Close the stream and open that of another path of /paddock. */
  follow(path) {
    this.path = path;
    this.close();
    if (!document.hidden) this.open();
  }

  open() {
    if (!this.path || this.source) return;
    const source = new EventSource(address(this.path));
    this.source = source;
    const path = this.path;
    source.onopen = () => {
      document.body.classList.remove("offline");
      this.shown = false;
      removeDisconnected();
      this.handlers.open?.(path);
    };
    source.onerror = () => {
      if (this.source !== source) return;
      // CLOSED: the host answered, but not with a stream. The browser does not try again then.
      if (source.readyState === EventSource.CLOSED) this.#refused(path);
      else this.#disconnected();
    };
    for (const name of EVENTS)
      source.addEventListener(
        name,
        (event) => this.source === source && this.handlers[name]?.(JSON.parse(event.data), path),
      );
  }

  async #refused(path) {
    this.close();
    const answer = await fetch(address(path)).catch(() => null);
    if (path !== this.path) return;
    if (answer && answer.status === 400) this.onLost(path);
    else {
      if (answer) document.body.classList.add("offline");
      else this.#disconnected();
      this.timer = setTimeout(() => this.open(), 1500);
    }
    answer?.body?.cancel();
  }

  /** The browser opens a broken stream again within a second. Show a message, once, when that fails too. */
  #disconnected() {
    if (document.body.classList.contains("offline") && !this.shown) {
      this.shown = true;
      showDisconnected();
    }
    document.body.classList.add("offline");
    this.handlers.offline?.();
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}
