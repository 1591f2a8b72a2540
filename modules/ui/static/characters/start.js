// Connects characters with the page: their window, the sections of "This chat", and the button in the composer.

import { addCommand } from "../commands.js";
import { CharactersPanel } from "./characters_panel.js";
import { Impersonation } from "./impersonate.js";
import { insertBelow } from "./insert.js";
import { addSceneSections } from "./scene_sections.js";

export class CharactersOnPage {
  /** `page`: has the open `chat`, its `composer` and `transcript`, and `open(id)`. */
  constructor(page) {
    this.page = page;
    this.panel = new CharactersPanel({ open: (id) => page.open(id) });
    this.impersonation = new Impersonation({ composer: page.composer, current: () => page.chat });
    addSceneSections();
    for (const [view, label] of Object.entries({
      characters: "Characters",
      personas: "Personas",
      lorebooks: "Lorebooks",
    }))
      addCommand({ id: `open-${view}`, label, run: () => this.open(view) });
  }

  /** Open the window of characters, or one of its lists. */
  open(view) {
    this.panel.open(view);
  }

  get speakers() {
    return [...new Set(this.page.transcript.cards.map(({ speaker }) => speaker).filter(Boolean))];
  }

  /** The messages of the open chat changed. */
  update() {
    this.impersonation.show(this.speakers.length > 0);
  }

  insert(card) {
    insertBelow(this.page.chat, card, this.speakers);
  }
}
