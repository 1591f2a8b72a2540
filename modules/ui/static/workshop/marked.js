// Marks the words in which two texts differ.

import { h } from "../dom.js";

/** Return `text` with the words marked that `original` does not have in the same order. */
export function marked(original, text) {
  const ours = text.split(/(?<=\s)/);
  const theirs = original.split(/(?<=\s)/).map((word) => word.trim());
  const words = ours.map((word) => word.trim());
  // lengths[i][j]: the longest common sequence of words from i of the text and from j of the original.
  const lengths = Array.from({ length: words.length + 1 }, () => new Array(theirs.length + 1).fill(0));
  for (let i = words.length - 1; i >= 0; i--)
    for (let j = theirs.length - 1; j >= 0; j--)
      lengths[i][j] =
        words[i] === theirs[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
  const parts = [];
  for (let i = 0, j = 0; i < words.length; ) {
    if (j < theirs.length && words[i] === theirs[j]) (parts.push(ours[i]), i++, j++);
    else if (j < theirs.length && lengths[i][j + 1] >= lengths[i + 1][j]) j++;
    else (parts.push(h("mark", {}, ours[i])), i++);
  }
  return parts.length ? parts : ["(empty)"];
}
