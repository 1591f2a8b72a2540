// Looks after the requests that Gradio's script makes for its events.

import { toast } from "./dom.js";

// How long an event waits: for the answer to the one before it, or for word of its own.
const PATIENCE = 2000;
const patience = () => new Promise((resolve) => setTimeout(resolve, PATIENCE));

/** Stand between Gradio's script and the host, for as long as the page lives. */
export function watchRequests() {
  const fetched = globalThis.fetch.bind(globalThis);
  const inTurn = oneByOne(fetched);
  const queue = new Queue(fetched);
  globalThis.fetch = (...asked) => {
    const { pathname } = new URL(asked[0].url ?? asked[0], location.href);
    if (pathname.endsWith("/run/predict")) return inTurn(...asked);
    if (pathname.endsWith("/queue/data")) return queue.data(...asked);
    if (pathname.endsWith("/queue/join")) return queue.join(...asked);
    return fetched(...asked);
  };
}

/** What a refusal says. 410: the page, or the part of it that was used, is out of date. */
async function refusal(answer) {
  const { error, detail } = await answer.clone().json().catch(() => ({}));
  if (answer.status !== 410) return { error };
  if (detail) toast(detail, { error: true });
  else dispatchEvent(new Event("paddock-old"));
  return {};
}

/**
 * Events that are requests of their own (DIRECT in event_feedback.py): send one after another, so that no late answer shows what held
 * before, show that they are under way, and say what went wrong. Gradio does so for its queue only.
 */
function oneByOne(fetched) {
  let waiting = 0;
  let last = Promise.resolve();
  const wait = (more) => document.body.classList.toggle("asking", (waiting += more) > 0);
  const send = async (before, asked) => {
    wait(1);
    try {
      await Promise.race([before, patience()]);
      const answer = await fetched(...asked);
      const { error } = answer.ok ? {} : await refusal(answer);
      if (error) toast(new DOMParser().parseFromString(error, "text/html").body.textContent, { error: true });
      return answer;
    } finally {
      // Gradio draws the answer in the next frame.
      requestAnimationFrame(() => requestAnimationFrame(() => wait(-1)));
    }
  };
  return (...asked) => {
    const answer = send(last, asked);
    last = answer.catch(() => {});
    return answer;
  };
}

/**
 * Gradio's queue: one stream tells of all its events, and the host closes it when none is left. Gradio's script opens
 * another for an event that finds none open, but takes one that is about to close for open, and then never hears of the
 * event. So the script learns that an event has joined only when its stream has told of it, or is closed.
 */
class Queue {
  constructor(fetched) {
    this.fetched = fetched;
    this.stream = null;
  }

  async data(...asked) {
    const { signal } = new Request(...asked);
    const stream = { told: new Set(), waiting: new Map() };
    stream.closed = new Promise((resolve) => signal.addEventListener("abort", resolve));
    this.stream = stream;
    const answer = await this.fetched(...asked);
    const { readable, writable } = new TransformStream({ transform: listener(stream) });
    // The script closes a stream by giving up its request: for whoever reads it, that is the end and no error.
    const end = (error) => (signal.aborted ? writable.close() : writable.abort(error));
    answer.body.pipeTo(writable, { preventAbort: true }).catch(end).catch(() => {});
    return new Response(readable, answer);
  }

  async join(...asked) {
    const answer = await this.fetched(...asked);
    const { event_id: id } = answer.ok ? await answer.clone().json() : await refusal(answer);
    const { stream } = this;
    if (id && stream && !stream.told.has(id)) {
      const told = new Promise((resolve) => stream.waiting.set(id, resolve));
      await Promise.race([told, stream.closed, patience()]);
    }
    return answer;
  }
}

/** What hands a stream's bytes on, and notes of which events they tell. */
function listener(stream) {
  const decoder = new TextDecoder();
  let rest = "";
  return (bytes, next) => {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const id = line.match(/"event_id":"(\w+)"/)?.[1];
      stream.told.add(id);
      stream.waiting.get(id)?.();
    }
    next.enqueue(bytes);
  };
}
