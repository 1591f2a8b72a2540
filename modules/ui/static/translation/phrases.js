// Finds the translation of a text. Texts with values are found by their fixed parts: "{0} of {1} tokens".

const PLACEHOLDER = /\{(\d+)\}/g;
// A pattern with less fixed text than this would match texts that only look like it.
const LEAST_FIXED = 4;

export class Phrases {
  /** @param {Record<string, string>} catalog English text -> its translation. */
  constructor(catalog) {
    this.exact = new Map();
    this.patterns = [];
    for (const [text, translation] of Object.entries(catalog)) {
      if (/\{\d+\}/.test(text)) this.#addPattern(text, translation);
      else this.exact.set(text, translation);
    }
    // The pattern with the longest fixed text is the most specific one.
    this.patterns.sort((first, second) => second.fixed - first.fixed);
  }

  #addPattern(text, translation) {
    const parts = text.split(/\{\d+\}/);
    const fixed = parts.join("").length;
    if (parts.join("").replace(/[^\p{L}]/gu, "").length < LEAST_FIXED) return;
    const order = [...text.matchAll(PLACEHOLDER)].map(([, number]) => number);
    const source = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("([^]*?)");
    const anchor = parts.reduce((longest, part) => (part.length > longest.length ? part : longest), "");
    this.patterns.push({ expression: new RegExp(`^${source}$`), order, translation, anchor, fixed });
  }

  /**
   * Return the translation of a text, or null if it has none. Space around it stays.
   * @param {string} text
   * @returns {string | null}
   */
  find(text) {
    const inner = text.trim();
    if (!inner) return null;
    const found = this.exact.get(inner) ?? this.#withUnit(inner) ?? this.#byPattern(inner);
    return found === null ? null : text.replace(inner, () => found);
  }

  /** Translate the label of a setting with its unit: "Context length (tokens)". */
  #withUnit(text) {
    const [, label, unit] = /^(.+) \(([^()]+)\)$/.exec(text) ?? [];
    const found = this.exact.get(label);
    return found === undefined ? null : `${found} (${this.exact.get(unit) ?? unit})`;
  }

  #byPattern(text) {
    for (const { expression, order, translation, anchor } of this.patterns) {
      const match = text.includes(anchor) && expression.exec(text);
      if (!match) continue;
      const values = Object.fromEntries(order.map((number, index) => [number, match[index + 1]]));
      // A value may be a text of the page itself, such as the name of a tab.
      const valueOf = (number) => this.exact.get(values[number]) ?? values[number];
      return translation.replace(PLACEHOLDER, (whole, number) => (number in values ? valueOf(number) : whole));
    }
    return null;
  }
}
