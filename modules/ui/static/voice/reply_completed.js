// What happens when a reply is complete while its chat is open.

import { announceReply } from "../announcer.js";
import { toggleReading } from "./reading.js";

/** Notices the end of replies, also of those that are so short that the page never sees them being written. */
export class ReplyWatch {
  constructor(transcript) {
    this.transcript = transcript;
    // The chat in which a reply was asked for, and what the newest message was then. A reply may continue that.
    this.asked = null;
  }

  /** A reply to the open chat was asked for. */
  ask(chat) {
    this.asked = { chat, newest: this.#newest() };
  }

  #newest() {
    const { last } = this.transcript;
    return last && JSON.stringify([last.id, last.version, last.parts]);
  }

  /**
   * The open chat changed. `was`, `writing`: a reply is being written, before and now. Announces a complete reply to
   * screen readers, and reads it aloud if the person set that (`state` of the model).
   */
  changed(chat, was, writing, state) {
    const { last } = this.transcript;
    const isNew = this.asked?.chat === chat && last?.role === "assistant" && this.#newest() !== this.asked.newest;
    if (writing || !last || !(was || isNew)) return;
    this.asked = null;
    announceReply(this.transcript.element(last.id));
    if (state?.read_replies) toggleReading(last.id);
  }
}
