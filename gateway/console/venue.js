// What the venue is: its instruments, read again every REFRESH_MS, and its public feed.

import { get } from "./api.js";
import { Lasting } from "./sockets.js";

const REFRESH_MS = 3_000;
const RETRY_MS = 1_000;
// as `phase` of the feed counts them
export const PHASES = [
  "CLOSED", "CONTINUOUS", "HALT", "START_OF_DAY", "OPENING_CALL", "VOLATILITY_CALL", "CLOSING_CALL",
];

const listeners = new Set();

// `reach`: connecting, live, lost
export const venue = { name: "", port: 0, instruments: [], reach: "connecting" };

export const onVenue = (listener) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const instrumentOf = (symbol) => venue.instruments.find((item) => item.symbol === symbol);
export const markets = () => [...new Set(venue.instruments.map((item) => item.market))];
export const inMarket = (code) => venue.instruments.filter((item) => item.market === code);
export const digitsOf = (market) => inMarket(market)[0]?.minor_digits ?? 2;

// The instrument last looked at in this tab.
export const lastSymbol = () => sessionStorage.getItem("symbol") ?? "";
export const keepSymbol = (symbol) => sessionStorage.setItem("symbol", symbol);

export function socketUrl(path) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return `${scheme}://${location.hostname}:${venue.port}/${path}`;
}

export async function refresh() {
  const reply = await get("/instruments");
  Object.assign(venue, {
    name: reply.venue, port: reply.websocket_port, instruments: reply.instruments,
  });
  tell();
}

export async function keepFresh() {
  let pause = REFRESH_MS;
  try {
    await refresh();
  } catch {
    reached("lost");
    pause = RETRY_MS;
  }
  setTimeout(keepFresh, pause);
}

function reached(state) {
  if (venue.reach === state) return;
  venue.reach = state;
  tell();
}

function tell() {
  for (const listener of [...listeners]) listener();
}

// -- the public feed: one socket, one subscription, one follower ---------------------------------

const NOBODY = { request: { type: "subscribe", symbols: ["*"], channels: ["phases"] }, heard() {} };
let follower = NOBODY;
let feed = null;

// From now on `heard(message)` gets everything of a symbol, first a snapshot; another one comes
// after a lost connection.
export function follow(symbol, heard) {
  follower = { request: { type: "subscribe", symbols: [symbol] }, symbol, heard };
  subscribe();
}

export function unfollow() {
  follower = NOBODY;
  subscribe();
}

export const subscribe = () => feed?.send(follower.request);

export function openFeed() {
  feed = new Lasting({
    url: () => socketUrl("marketdata"),
    opened: subscribe,
    changed: (state) => {
      if (state === "lost") reached("lost");
    },
    received: (message) => {
      if (message.type === "subscribed") reached("live");
      else if (message.type === "phase") heardPhase(message);
      if (message.symbol && message.symbol === follower.symbol) follower.heard(message);
    },
  });
}

function heardPhase({ symbol, phase }) {
  const item = instrumentOf(symbol);
  if (item) item.phase = PHASES[phase];
  tell();
}
