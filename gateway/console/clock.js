// Times. Requests are signed with the venue's clock, of which only the distance is kept.

const AHEAD_NS_MAX = 1_000_000_000n;

let aheadMs = 0;
let last = 0n;

// Learns how far the venue's clock is ahead of this machine's.
export function learn(timeNs, askedMs, answeredMs) {
  aheadMs = Math.round(Number(timeNs / 1_000_000n) - (askedMs + answeredMs) / 2);
}

const venueNs = () => BigInt(Date.now() + aheadMs) * 1_000_000n;

// Nanoseconds UTC, never twice the same: good for a timestamp and for a ref. What lies so far ahead
// that the venue would refuse it was another clock's.
export function nowNs() {
  const now = venueNs();
  last = now > last || last - now > AHEAD_NS_MAX ? now : last + 1n;
  return last;
}

const iso = (ns) => new Date(Number(ns) / 1e6).toISOString();

export const timeOf = (ns) => (ns ? iso(ns).slice(11, 19) : "–");
export const momentOf = (ns) => (ns ? iso(ns).slice(0, 19).replace("T", " ") : "–");
export const thisYear = () => Number(iso(venueNs()).slice(0, 4));
export const clockText = () => `${iso(venueNs()).slice(11, 19)} UTC`;

// 20261128 as 2026-11-28.
export function dateOf(number) {
  const text = String(number);
  return number ? `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}` : "–";
}
