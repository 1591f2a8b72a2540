// What the buttons of messages do.

import { copyText } from "./clipboard.js";
import { attempt, get, post } from "./requests.js";
import { toast } from "./toasts.js";

export class MessageActions {
  /**
   * `page`: has the open `chat`, its `transcript`, `act(verb, body)`, which posts an action of the chat,
   * `open(id)`, and the `sidebar`.
   */
  constructor(page) {
    this.page = page;
    this.running = new Set();
  }

  get #address() {
    return `/chats/${encodeURIComponent(this.page.chat)}`;
  }

  /** Return the actions of the Transcript, each of which takes the message's card. */
  all() {
    return {
      copy: (card) => attempt(() => copyText(this.#source(card))),
      edit: (card, focus) => attempt(() => this.#openEditor(card, focus)),
      remove: (card) => this.#remove(card),
      regenerate: (card) => this.once("regenerate", card),
      resume: (card) => this.once("continue", card),
      switchTo: (card, version) => this.once("switch", card, { version }),
      rate: (card, rating) => this.once("rate", card, { version: rating }),
      retry: (card, how) => this.once(how, card),
      answerCall: (id, answer) => this.page.act("answer-call", { message: id, text: answer }),
      act: (verb, body) => this.page.act(verb, body),
      branch: (card) => this.#branch(card),
      insert: (card) => this.page.characters.insert(card),
    };
  }

  /** Post an action of a message, unless a click before has posted it and waits for the answer. */
  async once(verb, card, body = {}) {
    const action = `${verb} ${card.id}`;
    if (this.running.has(action)) return false;
    this.running.add(action);
    const answer = await this.page.act(verb, { message: card.id, ...body });
    this.running.delete(action);
    return answer;
  }

  async #source(card) {
    return (await get(`${this.#address}/messages/${encodeURIComponent(card.id)}`)).text;
  }

  async #openEditor(card, focus = true) {
    const { chat } = this.page;
    const writing = () => [document.activeElement, /** @type {any} */ (document.activeElement)?.value];
    const [field, typed] = writing();
    const text = await this.#source(card);
    const [now, typedNow] = writing();
    // The person may write elsewhere by now.
    const writes = now?.matches("input, textarea") && (now !== field || typedNow !== typed);
    this.page.transcript.edit(card, text, (...changed) => this.#edit(chat, card, ...changed), focus && !writes);
  }

  /** Save the text of a message of `chat`, which may not be open any more. */
  async #edit(chat, card, text, resend, files) {
    const changed = files ? { files, changes_files: true } : {};
    const answer = await this.page.act("edit", { message: card.id, text, ...changed }, chat);
    if (answer !== false && resend) await this.page.act("regenerate", { message: answer.result }, chat);
    return answer;
  }

  async #remove(card) {
    const address = this.#address;
    if ((await this.once("delete", card)) === false) return;
    const run = () => attempt(() => post(`${address}/undelete`, { message: card.id }));
    toast("Deleted this message and everything after it.", { action: { label: "Undo", run } });
  }

  async #branch(card) {
    const answer = await this.once("branch", card);
    if (answer === false) return;
    await this.page.sidebar.refresh();
    this.page.open(answer.result.id);
    toast("New chat branched from this message.");
  }
}
