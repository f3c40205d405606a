// The market page: instruments, the live book, trades, phase and chart of the one picked; for who
// may trade, the order ticket and what is theirs.

import { get } from "./api.js";
import { Book, Ladder } from "./book.js";
import { barsOf, Chart, MINUTE_NS, SHORT_NS } from "./chart.js";
import { timeOf } from "./clock.js";
import { changeOf, fromMinor, grouped, toMinor } from "./decimals.js";
import { $, h, panel } from "./dom.js";
import { valueName } from "./names.js";
import { openOwn } from "./own.js";
import { may, session } from "./session.js";
import { openTicket } from "./ticket.js";
import {
  follow, instrumentOf, keepSymbol, lastSymbol, onVenue, PHASES, subscribe, unfollow, venue,
} from "./venue.js";
import { word } from "./words.js";

const TRADES_SHOWN = 60;
const TRADES_ASKED = 1000;
const ROW_PX = 22;
const BOOK_HEAD_PX = 118; // heading, column names, the middle
const METHODS = ["BOOK", "CALL", "LISTED", "BLOCK", "AUCTION"]; // `method` of a trade by number
const NOT_OF_THE_BOOK = new Set([3, 4]);
const MINUTES_MIN = 15; // fewer minutes with trades than that: shorter candles
const EMPTY = {
  book: null, last: 0, reference: 0, phase: "", volume: 0, call: null, loading: null,
};

const state = { symbol: "", digits: 2, isDrawn: true, ...EMPTY };
let chart = null;
let ladder = null;
let ticket = null;

const price = (minor) => fromMinor(minor, state.digits);

// Shows the page in `root`; what it returns ends it.
export function openMarket(root, wanted) {
  root.replaceChildren(...layout());
  state.symbol = "";
  drawPicker();
  const rows = rowsThatFit(root.querySelector(".book"));
  ladder = new Ladder($("asks"), $("bids"), rows, (level) => ticket?.setPrice(price(level)));
  chart = new Chart($("chart"));
  const ends = [onVenue(refreshed)];
  if (may("POST", "/orders") && session.identity) {
    ticket = openTicket($("ticket"));
    ends.push(() => { ticket = null; });
  }
  if (may("GET", "/orders") && session.identity) ends.push(openOwn($("own")));
  const known = instrumentOf(wanted) ?? instrumentOf(lastSymbol()) ?? venue.instruments[0];
  if (known) pick(known.symbol);
  return () => {
    for (const end of ends) end();
    unfollow();
    chart.close();
  };
}

// Levels a side that stand in the panel without scrolling; it grows with them on small screens.
function rowsThatFit(book) {
  if (matchMedia("(max-width: 1100px)").matches) return 7;
  const rows = Math.floor((book.clientHeight - BOOK_HEAD_PX) / (2 * ROW_PX));
  return Math.max(5, Math.min(14, rows));
}

function layout() {
  const cells = (names) => h("thead", {}, h("tr", {}, names.map((name) => (
    h("th", { scope: "col" }, name)
  ))));
  const fact = (name, id, kind = "figure") => h("div", {}, h("dt", {}, name),
    h("dd", { class: "figure" }, h("span", { id, class: kind })));
  const isSigned = session.identity !== null;
  return [
    h("div", {
      id: "instruments", class: "picker", role: "radiogroup", "aria-label": word("instruments"),
    }),
    h("div", { class: `market ${isSigned && may("POST", "/orders") ? "trading" : ""}` },
      h("section", { class: "panel chart", "aria-labelledby": "symbol" },
        h("div", { class: "headline" },
          h("div", {}, h("h2", { id: "symbol" }), h("p", { id: "name", class: "muted" })),
          h("p", { class: "price" }, h("span", { id: "last", class: "figure" }), " ",
            h("span", { id: "unit", class: "muted" })),
          h("dl", { class: "facts" }, fact(word("change"), "change"),
            fact(word("reference"), "reference"), fact(word("volume"), "volume"),
            fact(word("phase"), "phase", "phase"))),
        h("p", { id: "call", class: "call", hidden: true }),
        h("div", { id: "chart", class: "canvas", role: "img", "aria-label": word("chart") })),
      h("section", { class: "panel book", "aria-label": word("book") },
        h("h2", {}, word("book")),
        h("table", { class: "ladder" },
          cells([word("price"), word("tonnes"), word("total")]),
          h("tbody", { id: "asks" }),
          h("tbody", { class: "middle" }, h("tr", {}, h("td", { colspan: "3" },
            h("span", { id: "middle", class: "figure" }),
            h("span", { id: "spread", class: "muted" })))),
          h("tbody", { id: "bids" }))),
      h("div", { class: "side" },
        isSigned && may("POST", "/orders")
          && h("section", { class: "panel ticket", id: "ticket", "aria-label": word("ticket") }),
        h("section", { class: "panel trades", "aria-label": word("trades") },
          h("h2", {}, word("trades")),
          h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": word("trades") },
            h("table", {}, cells([word("price"), word("tonnes"), word("time")]),
              h("tbody", { id: "trades" })),
            h("p", { id: "quiet", class: "muted" }, word("quiet"))))),
      isSigned && panel(word("own"), { class: "own", id: "own" })),
  ];
}

// -- instruments -------------------------------------------------------------------------------

function refreshed() {
  drawPicker();
  const item = instrumentOf(state.symbol);
  if (!item) {
    if (venue.instruments.length) pick(venue.instruments[0].symbol);
    return;
  }
  state.volume = item.day_volume;
  state.reference = toMinor(item.reference_price, state.digits);
  schedule();
}

function drawPicker() {
  const picker = $("instruments");
  for (const item of venue.instruments) {
    const id = `pick-${item.symbol}`;
    const button = $(id) ?? makePick(picker, id, item);
    const isPicked = item.symbol === state.symbol;
    button.setAttribute("aria-checked", String(isPicked));
    button.tabIndex = isPicked || (!state.symbol && item === venue.instruments[0]) ? 0 : -1;
    const isLive = isPicked && state.last > 0;
    const shown = isLive ? price(state.last) : item.last_price || item.reference_price;
    button.querySelector(".pick-price").textContent = shown;
    const digits = item.minor_digits;
    const change = changeOf(toMinor(shown, digits), toMinor(item.reference_price, digits));
    const isOpen = item.phase === "CONTINUOUS";
    const tag = button.querySelector(".pick-change");
    tag.textContent = isOpen ? change.text : word(`phase_${item.phase}`);
    tag.className = `pick-change ${isOpen ? change.tone : "muted"}`;
  }
}

function makePick(picker, id, item) {
  const parts = {
    symbol: item.symbol, market: `${item.market} · ${item.currency}`, price: "", change: "",
  };
  const button = h("button", {
    type: "button", id, role: "radio", onclick: () => pick(item.symbol),
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const symbols = venue.instruments.map((other) => other.symbol);
      const at = (symbols.indexOf(item.symbol) + step + symbols.length) % symbols.length;
      pick(symbols[at]);
      $(`pick-${symbols[at]}`).focus();
    },
  }, Object.entries(parts).map(([name, text]) => h("span", { class: `pick-${name}` }, text)));
  picker.append(button);
  return button;
}

function pick(symbol) {
  const item = instrumentOf(symbol);
  const digits = item.minor_digits;
  Object.assign(state, {
    ...EMPTY, symbol, digits, phase: item.phase, volume: item.day_volume,
    last: toMinor(item.last_price, digits), reference: toMinor(item.reference_price, digits),
  });
  keepSymbol(symbol);
  history.replaceState(null, "", `#market/${encodeURIComponent(symbol)}`);
  drawPicker();
  $(`pick-${symbol}`).scrollIntoView({ block: "nearest", inline: "nearest" });
  $("symbol").textContent = symbol;
  $("name").textContent = item.name;
  $("unit").textContent = `${item.currency}${word("per_tonne")}`;
  ticket?.setInstrument(item);
  $("trades").replaceChildren();
  schedule();
  follow(symbol, heard);
}

// The past, once the feed is there: what trades meanwhile waits, so that none is missed or doubled.
async function loadPast() {
  const mine = { waiting: [] };
  state.loading = mine;
  const past = await loadChart(state.symbol).catch(() => []);
  if (state.loading !== mine || !past) return;
  state.loading = null;
  $("trades").replaceChildren();
  for (const trade of past.slice(-TRADES_SHOWN)) addTrade(trade, false);
  const newest = past.at(-1)?.trade_id ?? 0;
  for (const trade of mine.waiting) {
    if (trade.trade_id > newest) heardTrade(trade);
  }
  schedule();
}

// Blocks and auctions make no last price of the book, no candle and no volume of the day.
const isOfTheBook = (trade) => !NOT_OF_THE_BOOK.has(trade.method);

function heardTrade(trade) {
  addTrade(trade, true);
  if (isOfTheBook(trade)) chart.trade(trade);
}

// The trades behind the chart, oldest first; null when another symbol was picked meanwhile.
async function loadChart(symbol) {
  const [bars, trades] = await Promise.all([
    get("/bars", { symbol, limit: 600 }), get("/trades", { symbol, limit: TRADES_ASKED }),
  ]);
  if (state.symbol !== symbol || !$("chart")) return null;
  const past = trades.trades.reverse().map((trade) => (
    {
      ...trade, price: toMinor(trade.price, state.digits), side: trade.side === "BUY" ? 1 : 2,
      method: METHODS.indexOf(trade.method),
    }
  ));
  const isShort = bars.bars.length < MINUTES_MIN;
  if (isShort) chart.load(barsOf(past.filter(isOfTheBook), SHORT_NS), bars.minor_digits, SHORT_NS);
  else chart.load(bars.bars, bars.minor_digits, MINUTE_NS);
  return past;
}

// -- the feed ----------------------------------------------------------------------------------

function heard(message) {
  try {
    apply(message);
  } catch {
    state.book = null;
    subscribe(); // the book cannot be trusted: a new snapshot
  }
  schedule();
}

function apply(message) {
  if (message.type === "snapshot") {
    state.book = new Book(message);
    loadPast();
    state.phase = PHASES[message.phase];
    state.last = message.last_price || state.last;
    state.reference = message.reference_price || state.reference;
  } else if (message.type === "delta") {
    state.book?.apply(message);
  } else if (message.type === "trade") {
    if (state.loading) state.loading.waiting.push(message);
    else heardTrade(message);
    if (isOfTheBook(message)) state.volume += message.quantity;
  } else if (message.type === "trade_cancelled") {
    $("trades").querySelector(`[data-trade="${message.trade_id}"]`)?.remove();
  } else if (message.type === "bar") {
    loadPast();
  } else if (message.type === "day_corrected" && message.closed_ns === 0) {
    state.volume = message.volume;
    state.last = message.last_price || state.last;
  } else if (message.type === "phase") {
    state.phase = PHASES[message.phase];
    state.call = null;
  } else if (message.type === "indicative") {
    state.call = message.is_final ? null : message;
  } else if (message.type === "day") {
    state.volume = 0;
    state.reference = message.close_price;
  }
}

// -- drawing -----------------------------------------------------------------------------------

function addTrade(trade, isNew) {
  if (isOfTheBook(trade)) state.last = trade.price;
  const body = $("trades");
  const row = body.insertRow(0);
  row.dataset.trade = trade.trade_id;
  row.className = `${trade.side === 1 ? "rise" : "fall"}${isNew ? " new" : ""}`;
  if (!isOfTheBook(trade)) {
    row.classList.add("apart");
    row.title = valueName(METHODS[trade.method]);
  }
  for (const text of [price(trade.price), grouped(trade.quantity), timeOf(trade.time_ns)]) {
    row.insertCell().textContent = text;
  }
  while (body.rows.length > TRADES_SHOWN) body.deleteRow(-1);
}

function schedule() {
  if (!state.isDrawn) return;
  state.isDrawn = false;
  requestAnimationFrame(() => {
    state.isDrawn = true;
    if ($("chart")) draw();
  });
}

function draw() {
  drawPicker();
  const change = changeOf(state.last, state.reference);
  $("last").textContent = state.last ? price(state.last) : "–";
  $("last").className = `figure ${change.tone}`;
  $("change").textContent = change.text;
  $("change").className = `figure ${change.tone}`;
  $("reference").textContent = state.reference ? price(state.reference) : "–";
  $("volume").textContent = `${grouped(state.volume)} t`;
  $("phase").textContent = state.phase && word(`phase_${state.phase}`);
  $("phase").className = `phase ${state.phase.toLowerCase()}`;
  $("quiet").hidden = $("trades").rows.length > 0;
  $("call").hidden = !state.call;
  if (state.call) $("call").textContent = callText(state.call);
  if (!state.book) return;
  ladder.draw(state.book, price, grouped);
  const [bid, ask] = [state.book.bids[0], state.book.asks[0]];
  $("middle").textContent = state.last ? price(state.last) : "–";
  $("middle").className = `figure ${change.tone}`;
  $("spread").textContent = bid && ask ? `${word("spread")} ${price(ask[0] - bid[0])}` : "";
  $("sequence").textContent =
    `${word("sequence")} ${grouped(state.book.sequence)} · ${word("checked")}`;
}

function callText({ price: at, volume, surplus }) {
  if (!volume) return word("call_none");
  const side = surplus > 0 ? word("surplus_buy") : word("surplus_sell");
  const more = surplus ? ` · ${side} ${grouped(Math.abs(surplus))} t` : "";
  return `${word("call")} ${price(at)} · ${grouped(volume)} t${more}`;
}
