// Amounts are decimal strings or whole minor units; nothing here is ever a binary fraction.

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;

// Whole minor units of "71.25"; 0 for an empty text.
export function toMinor(text, digits) {
  const found = DECIMAL.exec(text ?? "");
  if (!found) return 0;
  const fraction = (found[3] ?? "").padEnd(digits, "0").slice(0, digits);
  return Number(`${found[1]}${found[2]}${fraction}`);
}

// "71.25" of 7125 and 2; takes numbers and BigInts.
export function fromMinor(value, digits) {
  const text = String(value).replace("-", "").padStart(digits + 1, "0");
  const sign = value < 0 ? "-" : "";
  return digits ? `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}` : sign + text;
}

// 1234567.89 as "1,234,567.89".
export function grouped(value) {
  const found = DECIMAL.exec(String(value));
  if (!found) return String(value);
  const whole = found[2].replace(/\B(?=(\d{3})+$)/g, ",");
  return `${found[1] ? "−" : ""}${whole}${found[3] ? `.${found[3]}` : ""}`;
}

// Price times tonnes, as a decimal string; "" when one is no number yet.
export function worth(price, quantity, digits) {
  if (!isAmount(price, digits) || !isWhole(quantity)) return "";
  return fromMinor(BigInt(toMinor(price, digits)) * BigInt(quantity), digits);
}

export const isWhole = (text) => /^\d{1,15}$/.test(text) && !/^0+$/.test(text);

export function isAmount(text, digits) {
  const found = /^\d{1,12}(?:\.(\d+))?$/.exec(text);
  return found !== null && (found[1] ?? "").length <= digits;
}

// The percentage between two minor prices, as text with a sign, and its tone.
export function changeOf(now, before) {
  if (!now || !before) return { text: "–", tone: "muted" };
  const hundredths = Math.round((10_000 * (now - before)) / before);
  const sign = hundredths > 0 ? "+" : hundredths < 0 ? "−" : "";
  const tone = hundredths > 0 ? "rise" : hundredths < 0 ? "fall" : "muted";
  return { text: `${sign}${fromMinor(Math.abs(hundredths), 2)} %`, tone };
}
