// Finds commands by what a person types.

const normal = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/**
 * Return the items whose text contains every word of the query, best first: those that begin with the query, then those
 * with a word that does, then the rest, each in the given order.
 * @template T
 * @param {T[]} items
 * @param {string} query
 * @param {(item: T) => string} textOf
 * @returns {T[]}
 */
export function matching(items, query, textOf) {
  const wanted = normal(query).trim();
  if (!wanted) return items;
  const words = wanted.split(/\s+/);
  const ranked = items.map((item) => ({ item, rank: rankOf(normal(textOf(item)), wanted, words) }));
  return ranked
    .filter(({ rank }) => rank < 3)
    .sort((first, second) => first.rank - second.rank)
    .map(({ item }) => item);
}

function rankOf(text, wanted, words) {
  if (!words.every((word) => text.includes(word))) return 3;
  if (text.startsWith(wanted)) return 0;
  return text.split(/\s+/).some((word) => word.startsWith(words[0])) ? 1 : 2;
}
