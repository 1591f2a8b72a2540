// Corrects how Gradio's script sends its events. Leans on its use of `window.fetch`, on the paths that it requests, and
// on the answers of Gradio's queue.

import { toast } from "../toasts.js";

// How long an event waits for the answer to the one before it, and for its stream to name it.
const MAX_WAIT_MS = 2000;
const timeout = () => new Promise((resolve) => setTimeout(resolve, MAX_WAIT_MS));

/** Replace `window.fetch` with a function that treats the requests of Gradio's events specially. */
export function interceptFetch() {
  const originalFetch = globalThis.fetch.bind(globalThis);
  const inTurn = oneByOne(originalFetch);
  const queue = new Queue(originalFetch);
  globalThis.fetch = (...args) => {
    const { pathname } = new URL(args[0] instanceof Request ? args[0].url : args[0], location.href);
    if (pathname.endsWith("/run/predict")) return inTurn(...args);
    if (pathname.endsWith("/queue/data")) return queue.data(...args);
    if (pathname.endsWith("/queue/join")) return queue.join(...args);
    return originalFetch(...args);
  };
}

/** Return the error of a failed answer. 410: the page, or the part of it that was used, is out of date. */
async function readError(answer) {
  const { error, detail } = await answer
    .clone()
    .json()
    .catch(() => ({}));
  if (answer.status !== 410) return { error };
  if (detail) toast(detail, { error: true });
  else dispatchEvent(new Event("paddock-outdated"));
  return {};
}

/**
 * Return a `fetch` for DIRECT events (event_feedback.py), each of which is one request. It sends one after another, so
 * that a late answer does not show old values. Until the answer is there, the page has the class `waiting-for-host`. An
 * error becomes a toast. Gradio does this for its queue only.
 */
function oneByOne(originalFetch) {
  let waiting = 0;
  let last = Promise.resolve();
  const count = (change) => document.body.classList.toggle("waiting-for-host", (waiting += change) > 0);
  const send = async (previous, args) => {
    count(1);
    try {
      await Promise.race([previous, timeout()]);
      const answer = await originalFetch(...args);
      const { error } = answer.ok ? {} : await readError(answer);
      if (error) toast(new DOMParser().parseFromString(error, "text/html").body.textContent, { error: true });
      return answer;
    } finally {
      // Gradio draws the answer in the next frame.
      requestAnimationFrame(() => requestAnimationFrame(() => count(-1)));
    }
  };
  return (...args) => {
    const answer = send(last, args);
    last = answer.catch(() => {});
    return answer;
  };
}

/**
 * Lets an event join Gradio's queue while the queue's stream closes.
 *
 * The queue sends the answers to all its events on one stream, and closes it when no event is left. When an event
 * joins, Gradio's script opens another stream if none is open. If the stream is about to close, the script still uses
 * that one, and never gets the answer. So the answer to `join` waits here until the stream has named the event, or is
 * closed.
 */
class Queue {
  constructor(fetched) {
    this.fetched = fetched;
    this.stream = null;
  }

  /** @param {Parameters<typeof fetch>} args */
  async data(...args) {
    const { signal } = new Request(...args);
    const stream = { named: new Set(), waiting: new Map() };
    stream.closed = new Promise((resolve) => signal.addEventListener("abort", resolve));
    this.stream = stream;
    const answer = await this.fetched(...args);
    const { readable, writable } = new TransformStream({ transform: noteEvents(stream) });
    // The script closes a stream by aborting its request. To the reader of the stream that is its end, not an error.
    const end = (error) => (signal.aborted ? writable.close() : writable.abort(error));
    answer.body
      .pipeTo(writable, { preventAbort: true })
      .catch(end)
      .catch(() => {});
    return new Response(readable, answer);
  }

  async join(...args) {
    const answer = await this.fetched(...args);
    const { event_id: id } = answer.ok ? await answer.clone().json() : await readError(answer);
    const { stream } = this;
    if (id && stream && !stream.named.has(id)) {
      const named = new Promise((resolve) => stream.waiting.set(id, resolve));
      await Promise.race([named, stream.closed, timeout()]);
    }
    return answer;
  }
}

/** Return a transform that passes a stream's bytes on and notes the events that they name. */
function noteEvents(stream) {
  const decoder = new TextDecoder();
  let rest = "";
  return (bytes, controller) => {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const id = line.match(/"event_id":"(\w+)"/)?.[1];
      stream.named.add(id);
      stream.waiting.get(id)?.();
    }
    controller.enqueue(bytes);
  };
}
