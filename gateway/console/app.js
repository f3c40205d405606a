// The market page: instruments, the live book, trades, phase and chart of the one picked.

import { Book, Ladder } from "./book.js";
import { barsOf, Chart, MINUTE_NS, SHORT_NS } from "./chart.js";
import { speak, toggle, word } from "./words.js";

const PHASES = ["CLOSED", "CONTINUOUS", "HALT"];
const TRADES_SHOWN = 60;
const TRADES_ASKED = 1000;
const MINUTES_MIN = 15; // fewer minutes with trades than that: shorter candles
const REFRESH_MS = 3000;
const RETRY_MS_MAX = 8000;

const $ = (id) => document.getElementById(id);
const figure = (value) => value.toLocaleString("en-US");
const state = {
  instruments: [], symbol: "", digits: 2, book: null, socket: null, port: 0, retry: 250,
  connection: "connecting", last: 0, reference: 0, phase: "", volume: 0, isDrawn: true,
};
let chart = null;
let ladder = null;

const price = (minor) => (minor / 10 ** state.digits).toFixed(state.digits);
const minor = (text) => (text ? Math.round(Number(text) * 10 ** state.digits) : 0);
const picked = () => state.instruments.find((item) => item.symbol === state.symbol);

async function getJson(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

// -- instruments -------------------------------------------------------------------------------

async function refresh() {
  const reply = await getJson("/instruments");
  state.instruments = reply.instruments;
  state.port = reply.websocket_port;
  $("venue").textContent = reply.venue;
  drawPicker();
  const item = picked();
  if (item) {
    state.volume = item.day_volume;
    state.reference = minor(item.reference_price);
    schedule();
  }
}

function drawPicker() {
  const picker = $("instruments");
  for (const item of state.instruments) {
    const id = `pick-${item.symbol}`;
    const button = $(id) ?? makePick(picker, id, item);
    const isPicked = item.symbol === state.symbol;
    button.setAttribute("aria-checked", String(isPicked));
    button.tabIndex = isPicked || (!state.symbol && item === state.instruments[0]) ? 0 : -1;
    const shown = item.last_price || item.reference_price;
    button.querySelector(".pick-price").textContent = shown;
    const change = changeOf(Number(shown), Number(item.reference_price));
    const tag = button.querySelector(".pick-change");
    tag.textContent = item.phase === "CONTINUOUS" ? change.text : word(item.phase);
    tag.className = `pick-change ${item.phase === "CONTINUOUS" ? change.tone : "muted"}`;
  }
}

function makePick(picker, id, item) {
  const button = document.createElement("button");
  button.type = "button";
  button.id = id;
  button.setAttribute("role", "radio");
  const market = `${item.market} · ${item.currency}`;
  const parts = { symbol: item.symbol, market, price: "", change: "" };
  for (const [name, text] of Object.entries(parts)) {
    const part = button.appendChild(document.createElement("span"));
    part.className = `pick-${name}`;
    part.textContent = text;
  }
  button.addEventListener("click", () => pick(item.symbol));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const symbols = state.instruments.map((other) => other.symbol);
    const at = (symbols.indexOf(item.symbol) + step + symbols.length) % symbols.length;
    pick(symbols[at]);
    $(`pick-${symbols[at]}`).focus();
  });
  return picker.appendChild(button);
}

function changeOf(now, before) {
  if (!now || !before) return { text: "–", tone: "muted" };
  const percent = (100 * (now - before)) / before;
  const sign = percent > 0 ? "+" : percent < 0 ? "−" : "";
  const tone = percent > 0 ? "up" : percent < 0 ? "down" : "muted";
  return { text: `${sign}${Math.abs(percent).toFixed(2)} %`, tone };
}

async function pick(symbol) {
  state.symbol = symbol;
  const item = picked();
  Object.assign(state, {
    digits: item.minor_digits, book: null, last: 0, phase: item.phase, volume: item.day_volume,
  });
  state.last = minor(item.last_price);
  state.reference = minor(item.reference_price);
  history.replaceState(null, "", `#${symbol}`);
  drawPicker();
  $("symbol").textContent = symbol;
  $("name").textContent = item.name;
  $("unit").textContent = `${item.currency}${word("perTonne")}`;
  $("trades").replaceChildren();
  schedule();
  const past = await loadChart(symbol);
  if (!past) return;
  for (const trade of past.slice(-TRADES_SHOWN)) addTrade(trade, false);
  subscribe();
}

// The trades behind the chart, oldest first; null when another symbol was picked meanwhile.
async function loadChart(symbol) {
  const query = encodeURIComponent(symbol);
  const [bars, trades] = await Promise.all([
    getJson(`/bars?symbol=${query}&limit=600`),
    getJson(`/trades?symbol=${query}&limit=${TRADES_ASKED}`),
  ]);
  if (state.symbol !== symbol) return null;
  const past = trades.trades.reverse().map((trade) => (
    { ...trade, price: minor(trade.price), side: trade.side === "BUY" ? 1 : 2 }
  ));
  const isShort = bars.bars.length < MINUTES_MIN;
  if (isShort) chart.load(barsOf(past, SHORT_NS), bars.minor_digits, SHORT_NS);
  else chart.load(bars.bars, bars.minor_digits, MINUTE_NS);
  return past;
}

// -- the feed ----------------------------------------------------------------------------------

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.hostname}:${state.port}/marketdata`);
  state.socket = socket;
  socket.addEventListener("open", () => {
    state.retry = 250;
    subscribe();
  });
  socket.addEventListener("message", (event) => received(JSON.parse(event.data)));
  socket.addEventListener("close", () => {
    state.connection = "lost";
    schedule();
    setTimeout(reconnect, state.retry);
    state.retry = Math.min(2 * state.retry, RETRY_MS_MAX);
  });
}

async function reconnect() {
  try {
    await refresh();
    connect();
    if (state.symbol) await pick(state.symbol);
  } catch {
    setTimeout(reconnect, state.retry);
    state.retry = Math.min(2 * state.retry, RETRY_MS_MAX);
  }
}

function subscribe() {
  if (state.symbol && state.socket?.readyState === WebSocket.OPEN) {
    state.book = null;
    state.socket.send(JSON.stringify({ type: "subscribe", symbols: [state.symbol] }));
  }
}

function received(message) {
  if (message.type === "subscribed") {
    state.connection = "live";
  } else if (message.symbol === state.symbol) {
    try {
      apply(message);
    } catch {
      subscribe(); // the book cannot be trusted: a new snapshot
    }
  }
  schedule();
}

function apply(message) {
  if (message.type === "snapshot") {
    state.book = new Book(message);
    state.phase = PHASES[message.phase];
    state.last = message.last_price || state.last;
    state.reference = message.reference_price || state.reference;
  } else if (message.type === "delta") {
    state.book?.apply(message);
  } else if (message.type === "trade") {
    addTrade(message, true);
    chart.trade(message);
    state.volume += message.quantity;
  } else if (message.type === "trade_cancelled") {
    $("trades").querySelector(`[data-trade="${message.trade_id}"]`)?.remove();
  } else if (message.type === "bar") {
    loadChart(state.symbol);
  } else if (message.type === "day_corrected" && message.closed_ns === 0) {
    state.volume = message.volume;
    state.last = message.last_price || state.last;
  } else if (message.type === "phase") {
    state.phase = PHASES[message.phase];
  } else if (message.type === "day") {
    state.volume = 0;
    state.reference = message.close_price;
  }
}

// -- drawing -----------------------------------------------------------------------------------

function addTrade(trade, isNew) {
  state.last = trade.price;
  const body = $("trades");
  const row = body.insertRow(0);
  row.dataset.trade = trade.trade_id;
  row.className = `${trade.side === 1 ? "up" : "down"}${isNew ? " new" : ""}`;
  const moment = new Date(trade.time_ns / 1e6).toISOString().slice(11, 19);
  for (const text of [price(trade.price), figure(trade.quantity), moment]) {
    row.insertCell().textContent = text;
  }
  while (body.rows.length > TRADES_SHOWN) body.deleteRow(-1);
}

function schedule() {
  if (!state.isDrawn) return;
  state.isDrawn = false;
  requestAnimationFrame(() => {
    state.isDrawn = true;
    draw();
  });
}

function draw() {
  $("state").textContent = word(state.connection);
  $("dot").className = `dot ${state.connection}`;
  const change = changeOf(state.last, state.reference);
  $("last").textContent = state.last ? price(state.last) : "–";
  $("last").className = `figure ${change.tone}`;
  $("change").textContent = change.text;
  $("change").className = `figure ${change.tone}`;
  $("reference").textContent = state.reference ? price(state.reference) : "–";
  $("volume").textContent = `${figure(state.volume)} t`;
  $("phase").textContent = word(state.phase);
  $("phase").className = `phase ${state.phase.toLowerCase()}`;
  $("quiet").hidden = $("trades").rows.length > 0;
  if (!state.book) return;
  ladder.draw(state.book, price, figure);
  const [bid, ask] = [state.book.bids[0], state.book.asks[0]];
  $("middle").textContent = state.last ? price(state.last) : "–";
  $("middle").className = `figure ${change.tone}`;
  $("spread").textContent = bid && ask ? `${word("spread")} ${price(ask[0] - bid[0])}` : "";
  $("sequence").textContent =
    `${word("sequence")} ${figure(state.book.sequence)} · ${word("checked")}`;
}

function tick() {
  $("clock").textContent = `${new Date().toISOString().slice(11, 19)} UTC`;
}

async function start() {
  speak();
  tick();
  setInterval(tick, 1000);
  const rows = matchMedia("(max-width: 700px)").matches ? 7 : 12;
  ladder = new Ladder($("asks"), $("bids"), rows);
  chart = new Chart($("chart"));
  $("language").addEventListener("click", () => {
    toggle();
    speak();
    const item = picked();
    if (item) $("unit").textContent = `${item.currency}${word("perTonne")}`;
    drawPicker();
    schedule();
  });
  await refresh();
  connect();
  const wanted = decodeURIComponent(location.hash.slice(1));
  const known = state.instruments.some((item) => item.symbol === wanted);
  await pick(known ? wanted : state.instruments[0].symbol);
  setInterval(() => refresh().catch(() => {}), REFRESH_MS);
}

start();
