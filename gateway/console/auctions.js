// Primary auctions: the list, one auction's terms and result, bids.

import { bodyOf, get, send } from "./api.js";
import { momentOf } from "./clock.js";
import { grouped } from "./decimals.js";
import { accountsOf, desk, onDesk, take } from "./desk.js";
import { notify } from "./dialogs.js";
import { h, panel } from "./dom.js";
import { bodyOfFields, fieldsOf, makeSelect } from "./forms.js";
import { fieldName, tonnes, valueName } from "./names.js";
import { openOrders } from "./own.js";
import { showProblem, tellProblem, toldOf } from "./problems.js";
import { may, session } from "./session.js";
import { table } from "./tables.js";
import { instrumentOf, venue } from "./venue.js";
import { word } from "./words.js";

const REFRESH_MS = 3_000;
const SHOWN_MAX = 50;

// Shows the page in `root`; what it returns ends it.
export function openAuctions(root) {
  const list = h("div");
  const details = h("div", { class: "stack" });
  const ownName = word(may("POST", "/auctions/bids") ? "own_bids" : "all_bids");
  const own = panel(ownName, { class: "own" });
  const ownBody = h("div");
  own.append(ownBody);
  const state = { rows: [], picked: "", drawn: "", isOpen: true };
  root.replaceChildren(h("div", { class: "page split" },
    panel(word("auctions"), {}, list), details,
    session.identity && may("GET", "/orders") ? own : null));

  async function refresh() {
    try {
      const replies = await Promise.all(venue.instruments.map(({ symbol }) => (
        get("/auctions", { symbol })
      )));
      if (!state.isOpen) return;
      state.rows = replies.flatMap((reply) => reply.auctions)
        .sort((a, b) => (b.state === "OPEN") - (a.state === "OPEN") || b.opened_ns - a.opened_ns)
        .slice(0, SHOWN_MAX);
      draw();
    } catch (error) {
      if (state.isOpen && !state.rows.length) list.replaceChildren(tellProblem(error));
    }
  }

  const idOf = (row) => `${row.symbol}/${row.auction_id}`;
  const drawnOf = (row) => `${idOf(row)} ${row.state} ${desk.accounts.length}`;

  function draw() {
    const seen = JSON.stringify([state.rows, state.picked, desk.accounts.length]);
    if (seen === state.drawn) return;
    state.drawn = seen;
    const picked = state.rows.find((row) => idOf(row) === state.picked) ?? state.rows[0];
    const focused = list.contains(document.activeElement)
      && document.activeElement.dataset.focus;
    list.replaceChildren(listed(state.rows, picked));
    if (focused) list.querySelector(`[data-focus="${focused}"]`)?.focus();
    // a bid that is being written stays as it is
    if (!picked) details.replaceChildren(h("p", { class: "empty" }, word("auction_pick")));
    else if (details.dataset.of !== drawnOf(picked)) {
      details.dataset.of = drawnOf(picked);
      details.replaceChildren(...detailed(picked));
    }
    drawBids();
  }

  function listed(rows, picked) {
    return table(word("auctions"), [
      { name: word("auction"), of: (row) => h("button", {
        type: "button", class: "link", "data-focus": idOf(row),
        "aria-pressed": String(row === picked),
        onclick: () => {
          state.picked = idOf(row);
          draw();
        },
      }, row.label || `${row.symbol} ${row.auction_id}`) },
      { name: fieldName("symbol"), of: (row) => row.symbol },
      { name: word("state"), of: (row) => stateTag(row.state) },
      { name: word("offered"), of: (row) => grouped(row.offered_t), class: "figure" },
      { name: fieldName("price"), of: (row) => row.price || "–", class: "figure" },
    ], rows, { empty: word("no_auctions"), rowClass: (row) => (row === picked ? "picked" : "") });
  }

  function drawBids() {
    const symbols = new Set(state.rows.map((row) => row.symbol));
    ownBody.replaceChildren(openOrders(
      (order) => isBid(order) && symbols.has(order.symbol), word("no_bids"),
    ));
  }

  const ends = [onDesk(() => {
    draw();
    drawBids();
  })];
  refresh();
  const timer = setInterval(refresh, REFRESH_MS);
  return () => {
    state.isOpen = false;
    clearInterval(timer);
    for (const end of ends) end();
  };
}

const stateTag = (state) => h("span", { class: `phase ${state === "OPEN" ? "continuous" : ""}` },
  word(`auction_${state}`));

const isBid = (order) => order.order_type === "BID";

function detailed(row) {
  const currency = instrumentOf(row.symbol)?.currency ?? "";
  const money = (text) => (text ? `${grouped(text)} ${currency}` : "–");
  const facts = (rows) => h("dl", { class: "list two" }, rows.map(([name, value]) => (
    h("div", {}, h("dt", {}, name), h("dd", { class: "figure" }, value))
  )));
  const isEnded = row.state !== "OPEN";
  const terms = panel(row.label || String(row.auction_id), { class: "named" },
    h("p", { class: "lead" }, stateTag(row.state), " ",
      row.reason && h("code", { class: "muted" }, row.reason)),
    facts([
      [fieldName("symbol"), row.symbol], [word("number"), row.auction_id],
      [word("offered"), tonnes(row.offered_t)], [fieldName("side"), valueName(row.side)],
      [word("pricing"), valueName(row.pricing)], [word("tie_break"), valueName(row.tie_break)],
      [word("bid_multiple"), tonnes(row.bid_multiple_t)],
      ...(row.bid_max_bp ? [[word("bid_max"), `${row.bid_max_bp / 100} %`]] : []),
      [word("reserve"), row.public_reserve ? money(row.public_reserve) : word("none")],
      [word("opened"), momentOf(row.opened_ns)],
      [word("closes"), row.closes_ns ? momentOf(row.closes_ns) : word("closes_when_cleared")],
      ...(isEnded ? [[word("ended"), momentOf(row.ended_ns)]] : []),
    ]),
    !isEnded && h("p", { class: "muted" }, word("auction_sealed")));
  const parts = [terms];
  if (isEnded) {
    parts.push(panel(word("result"), {}, facts([
      [fieldName("price"), money(row.price)], [word("sold"), tonnes(row.sold_t)],
      [word("bid_for"), tonnes(row.bid_t)], [word("cover"), row.cover_ratio || "–"],
      [word("bids"), `${row.successful_bids} / ${row.bids}`],
      [word("bidders"), `${row.successful_bidders} / ${row.bidders}`],
      [word("bid_range"), row.min_bid ? `${row.min_bid} – ${row.max_bid}` : "–"],
      [word("bid_mean"), row.mean_bid ? `${row.mean_bid} · ${row.median_bid}` : "–"],
      [word("revenue"), money(row.revenue)],
      [word("carried"), row.carried_t.length ? row.carried_t.map(tonnes).join(" + ") : "–"],
    ])));
  } else if (may("POST", "/auctions/bids") && accountsOf(instrumentOf(row.symbol)?.market).length) {
    // only once the accounts are known: a form made before them would be made again while it is
    // being filled in
    parts.push(bidForm(row));
  }
  return parts;
}

function bidForm(row) {
  const { market } = instrumentOf(row.symbol);
  const schema = bodyOf("POST", "/auctions/bids");
  const side = row.side === "BUY" ? "SELL" : "BUY";  // a bid meets the offer
  const skip = new Set(["symbol", "account", "auction_id", "side"]);
  const fields = fieldsOf(schema, { skip });
  const account = makeSelect(accountsOf(market).map((own) => (
    [own.account, `${own.account} · ${own.name}`]
  )));
  const said = h("div", { role: "alert" });
  async function submit(event) {
    event.preventDefault();
    const body = bodyOfFields(fields, {
      type: schema.properties.type.enum[0], symbol: row.symbol, auction_id: row.auction_id, side,
      account: Number(account.value),
    });
    try {
      const report = await send("POST", "/auctions/bids", { body });
      take(report);
      said.replaceChildren();
      notify(toldOf(report));
    } catch (error) {
      showProblem(said, error);
    }
  }
  const { quantity, price, ...others } = fields;
  const title = `${word("bid")} · ${valueName(side)}`;
  return panel(title, { class: "ticket" }, h("form", { onsubmit: submit },
    h("div", { class: "fields" }, quantity.element, price.element,
      Object.values(others).map((field) => field.element),
      h("label", { class: "field" }, h("span", {}, fieldName("account")), account)),
    h("button", { type: "submit", class: "primary wide" }, word("bid_send")), said));
}
