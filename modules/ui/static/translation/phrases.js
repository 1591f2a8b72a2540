// Finds the translation of a text. Texts with values are found by their fixed parts: "{0} of {1} tokens".

const PLACEHOLDER = /\{(\d+)\}/g;
const ANY_VALUE = "([^]*?)";
const NUMBER = "((?:≈ )?\\d[\\d.,]*)";
// A pattern with less fixed text than this would match texts that only look like it.
const LEAST_FIXED = 4;

export class Phrases {
  /** @param {Record<string, string>} catalog English text -> its translation. */
  constructor(catalog) {
    this.exact = new Map();
    this.patterns = [];
    this.counts = [];
    for (const [text, translation] of Object.entries(catalog)) {
      // "{0} tokens" beside "1 token" counts something.
      const isCount = text.startsWith("{0} ") && Object.hasOwn(catalog, `1 ${text.slice(4, -1)}`);
      if (/\{\d+\}/.test(text)) this.#addPattern(text, translation, isCount);
      else this.exact.set(text, translation);
    }
    // The pattern with the longest fixed text is the most specific one.
    this.patterns.sort((first, second) => second.fixed - first.fixed);
  }

  #addPattern(text, translation, isCount) {
    const parts = text.split(/\{\d+\}/);
    const fixed = parts.join("").length;
    if (parts.join("").replace(/[^\p{L}]/gu, "").length < LEAST_FIXED) return;
    const order = [...text.matchAll(PLACEHOLDER)].map(([, number]) => number);
    const source = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(isCount ? NUMBER : ANY_VALUE);
    const anchor = parts.reduce((longest, part) => (part.length > longest.length ? part : longest), "");
    const list = isCount ? this.counts : this.patterns;
    list.push({ expression: new RegExp(`^${source}$`), order, translation, anchor, fixed });
  }

  /**
   * Return the translation of a text, or null if it has none. Space around it stays.
   * @param {string} text
   * @returns {string | null}
   */
  find(text) {
    const inner = text.trim();
    if (!inner) return null;
    const found = this.#value(inner) ?? this.#withUnit(inner) ?? this.#byPattern(inner, this.patterns);
    return found === null ? null : text.replace(inner, () => found);
  }

  /** Translate the label of a setting with its unit: "Context length (tokens)". */
  #withUnit(text) {
    const [, label, unit] = /^(.+) \(([^()]+)\)$/.exec(text) ?? [];
    const found = this.exact.get(label);
    return found === undefined ? null : `${found} (${this.exact.get(unit) ?? unit})`;
  }

  /** Translate a text that may stand in others: the name of a tab, or a number of things. */
  #value(text) {
    return this.exact.get(text) ?? this.#byPattern(text, this.counts);
  }

  #byPattern(text, patterns) {
    for (const { expression, order, translation, anchor } of patterns) {
      const match = text.includes(anchor) && expression.exec(text);
      if (!match) continue;
      const values = Object.fromEntries(order.map((number, index) => [number, match[index + 1]]));
      const valueOf = (number) => this.#value(values[number]) ?? values[number];
      return translation.replace(PLACEHOLDER, (whole, number) => (number in values ? valueOf(number) : whole));
    }
    return null;
  }
}
