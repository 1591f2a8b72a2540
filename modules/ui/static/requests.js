// Requests to the page's own routes, under /paddock.

import { DISCONNECTED, removeDisconnected, toast } from "./toasts.js";

/** A request that failed. `message` is a sentence for the person; `lower` names settings that would help if lowered. */
export class RequestError extends Error {
  constructor(answer) {
    super(answer.error);
    this.detail = answer.detail || "";
    this.code = answer.code || "";
    this.lower = answer.lower || [];
  }
}

/** Return the address of a path of the page's own routes. A reverse proxy may serve them below a path. */
export const address = (path) => new URL(`..${path}`, import.meta.url).href;

let pending = 0;
/** Return how many of the page's own requests wait for an answer. */
export const pendingRequests = () => pending;

async function request(path, options) {
  pending += 1;
  try {
    return await parsedAnswer(path, options);
  } finally {
    pending -= 1;
  }
}

async function fetchAnswer(path, options) {
  let response;
  try {
    response = await fetch(address(path), options);
  } catch {
    throw new RequestError({ error: DISCONNECTED });
  }
  removeDisconnected();
  return response;
}

async function parsedAnswer(path, options) {
  const response = await fetchAnswer(path, options);
  // A route without a result answers with null.
  const answer = (await response.json().catch(() => null)) ?? {};
  // api/security.py answers in the API's form: {error: {message}}.
  if (answer.error?.message) answer.error = answer.error.message;
  if (!response.ok) throw new RequestError(answer.error ? answer : { error: unexplained(response.status) });
  return answer;
}

const unexplained = (status) =>
  `Paddock answered with the status ${status}. Reload the page and try again; the terminal may say more.`;

export const get = (path) => request(path, {});
export const post = (path, body = {}) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
/** Send a file as it is. */
export const put = (path, file) => request(path, { method: "PUT", body: file });
export const postFile = (path, file) => request(path, { method: "POST", body: file });

/** Post JSON that is answered with a file. */
export async function postForFile(path, body) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetchAnswer(path, options);
  if (response.ok) return response.blob();
  const answer = await response.json().catch(() => ({}));
  throw new RequestError(answer.error ? answer : { error: unexplained(response.status) });
}

/** Run an action and return what it returns, or true. If a request fails, show why and return false. */
export async function attempt(run) {
  try {
    return (await run()) ?? true;
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    toast(error.message, { error: true, detail: error.detail });
    return false;
  }
}

/**
 * Return a function that begins a turn. It returns a function that is true until the next turn begins: an answer that
 * comes after another one was asked for changes nothing.
 */
export function turns() {
  let count = 0;
  return () => {
    const own = ++count;
    return () => own === count;
  };
}

/** Return a function that runs actions one after another, so that the host gets changes in their order. */
export function inOrder() {
  /** @type {Promise<any>} */
  let last = Promise.resolve();
  return (run) => (last = last.then(run, run));
}
