// Texts that are being written outlive a reload.

/** Keep the text under this key of the browser's storage; null forgets it. */
export function keepDraft(key, text) {
  try {
    if (text === null) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
  } catch {
    // Storage may be off or full: then only the draft's memory is lost.
  }
}
