// Times. Requests are signed with the venue's clock, of which only the distance is kept.

let aheadMs = 0;
let last = 0n;

// Learns how far the venue's clock is ahead of this machine's.
export function learn(venueNs, askedMs, answeredMs) {
  aheadMs = Math.round(Number(venueNs / 1_000_000n) - (askedMs + answeredMs) / 2);
}

// Nanoseconds UTC, never twice the same: good for a timestamp and for a ref.
export function nowNs() {
  const now = BigInt(Date.now() + aheadMs) * 1_000_000n;
  last = now > last ? now : last + 1n;
  return last;
}

const iso = (ns) => new Date(Number(ns) / 1e6).toISOString();

export const timeOf = (ns) => (ns ? iso(ns).slice(11, 19) : "–");
export const momentOf = (ns) => (ns ? iso(ns).slice(0, 19).replace("T", " ") : "–");
export const clockText = () => `${iso(nowNs()).slice(11, 19)} UTC`;

// 20261128 as 2026-11-28.
export function dateOf(number) {
  const text = String(number);
  return number ? `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}` : "–";
}
