// The microphone button of the composer: one tap records, the next one puts the words into the message.

import { addCommand } from "../commands.js";
import { iconButton } from "../dom.js";
import { attempt, get, postFile } from "../requests.js";
import { toast } from "../toasts.js";
import { LONGEST_SECONDS, MicrophoneError, startRecording } from "./microphone.js";

const LABELS = { idle: "Dictate", recording: "Stop dictating", reading: "Reading what you said" };
const OFF = "Nothing that understands speech is on. Switch on Dictation on the Extensions tab.";

export class Dictation {
  /**
   * `target()` returns {chat}, to which the person writes; `insert(text, chat)` puts text into the message for that
   * chat; `openExtensions()` opens the Extensions tab.
   */
  constructor({ target, insert, openExtensions }) {
    this.target = target;
    this.insert = insert;
    this.openExtensions = openExtensions;
    this.button = iconButton("microphone", LABELS.idle, () => this.toggle(), { id: "dictate" });
    this.#show("idle");
    addCommand({ id: "dictate", label: LABELS.idle, group: "This chat", run: () => this.toggle() });
  }

  /** Begin to record, or end and read what was recorded. */
  async toggle() {
    if (this.state === "reading") return;
    if (this.state === "recording") return this.#end();
    this.#show("reading");
    try {
      const able = await attempt(() => get("/voice"));
      if (able && !able.dictation)
        toast(OFF, { error: true, action: { label: "Open extensions", run: this.openExtensions } });
      if (!able || !able.dictation) return this.#show("idle");
      this.stop = await startRecording();
      this.timer = setTimeout(() => this.#end(), LONGEST_SECONDS * 1000);
      this.#show("recording");
    } catch (error) {
      this.#fail(error);
    }
  }

  async #end() {
    clearTimeout(this.timer);
    this.#show("reading");
    // Another chat may be open when the words are there.
    const target = this.target();
    try {
      const sound = await this.stop();
      const answer = await attempt(() => postFile("/voice/dictation", sound));
      if (answer && answer.text) this.insert(answer.text, target.chat);
      else if (answer) toast("No words were understood. Speak nearer to the microphone, then try again.");
      this.#show("idle");
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error) {
    this.#show("idle");
    if (!(error instanceof MicrophoneError)) throw error;
    toast(error.message, { error: true });
  }

  #show(state) {
    this.state = state;
    this.button.dataset.state = state;
    this.button.setAttribute("aria-pressed", String(state === "recording"));
    this.button.setAttribute("aria-label", LABELS[state]);
    this.button.title = LABELS[state];
    this.button.setAttribute("aria-busy", String(state === "reading"));
  }
}
