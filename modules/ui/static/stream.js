// The one event stream of this page. A hidden page lets go of it (browsers allow six connections to a host),
// and gets everything afresh when it is looked at again.

import { address, sayAway, sayBack } from "./dom.js";

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

  /** Follow this path of /paddock from now on. */
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
      this.said = false;
      sayBack();
      this.handlers.open?.(path);
    };
    source.onerror = () => {
      if (this.source !== source) return;
      // CLOSED: the host answered, but not with a stream; the browser will not come back by itself.
      if (source.readyState === EventSource.CLOSED) this.refused(path);
      else this.#away();
    };
    for (const name of ["messages", "living", "state", "chats", "text", "growth", "gone"])
      source.addEventListener(name, (event) => this.source === source && this.handlers[name]?.(JSON.parse(event.data), path));
  }

  async refused(path) {
    this.close();
    const answer = await fetch(address(path)).catch(() => null);
    if (path !== this.path) return;
    if (answer && answer.status === 400) this.onLost(path);
    else {
      if (answer) document.body.classList.add("offline");
      else this.#away();
      this.timer = setTimeout(() => this.open(), 1500);
    }
    answer?.body?.cancel();
  }

  /** A stream that breaks is opened again within a second; when that fails too, it is said, once. */
  #away() {
    if (document.body.classList.contains("offline") && !this.said) {
      this.said = true;
      sayAway();
    }
    document.body.classList.add("offline");
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}
