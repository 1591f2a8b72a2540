// Numbers of the Workshop as text.

// Stands for a value that is not known.
export const NONE = "–";
const UNITS = ["bytes", "KB", "MB", "GB", "TB"];

/** Return a number of bytes as text, such as "3.9 MB" (powers of 1000, as the host shows sizes). */
export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** Return seconds as text, such as "2 min". */
export function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Return a number with four significant digits, or a dash. */
export function number(value) {
  if (value === null || value === undefined) return NONE;
  return Number(value).toLocaleString(undefined, { maximumSignificantDigits: 4 });
}

/** Return a fraction as a percentage, or a dash. */
export const percent = (value) => (value === null || value === undefined ? NONE : `${(100 * value).toFixed(1)} %`);
