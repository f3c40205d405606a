// Own open orders with cancel and replace, own fills, positions with what is available.

import { send } from "./api.js";
import { momentOf, timeOf } from "./clock.js";
import { grouped, isAmount, isWhole } from "./decimals.js";
import { desk, forget, onDesk, take } from "./desk.js";
import { confirmAct, notify, openDialog } from "./dialogs.js";
import { h } from "./dom.js";
import { mayMassCancel, openMassCancel } from "./entries.js";
import { fieldName, valueName } from "./names.js";
import { showProblem, tellProblem, toldOf } from "./problems.js";
import { may } from "./session.js";
import { table, tabs } from "./tables.js";
import { digitsOf } from "./venue.js";
import { word } from "./words.js";

let picked = "orders";

// Shows them in `root`; what it returns ends it.
export function openOwn(root) {
  const body = h("div", { class: "tab-body" });
  const state = h("span", { class: "muted" });
  const show = (id) => {
    picked = id;
    draw();
  };
  function draw() {
    const focused = body.contains(document.activeElement)
      ? document.activeElement.dataset.focus : null;
    state.textContent = desk.reach === "lost" ? word("orders_lost") : "";
    body.replaceChildren(SHOWN[picked]());
    if (focused) body.querySelector(`[data-focus="${focused}"]`)?.focus();
  }
  const names = Object.keys(SHOWN).map((id) => [id, word(`own_${id}`)]);
  root.replaceChildren(h("div", { class: "toolbar" }, tabs(word("own"), names, picked, show), state,
    mayMassCancel() && h("button", {
      type: "button", class: "small", onclick: openMassCancel,
    }, word("mass_cancel"))), body);
  draw();
  return onDesk(draw);
}

const SHOWN = { orders: () => openOrders(() => true), fills, positions };
const isProposed = (row) => row.exec_type === "BLOCK_PROPOSED"; // by somebody else, to an account
// A proposal tells the side of who proposes: the account that it came to has the other one.
const sideOf = (row) => (isProposed(row) ? (row.side === "BUY" ? "SELL" : "BUY") : row.side);
const sideCell = (row) => h("span", { class: sideOf(row) === "BUY" ? "rise" : "fall" },
  valueName(sideOf(row)));

// The open orders that `only` lets through; `empty` is said where there are none.
export function openOrders(only, empty = word("no_orders")) {
  const rows = [...desk.orders.values()].filter(only)
    .sort((a, b) => b.order_id - a.order_id);
  const mayAct = may("DELETE", "/orders/{id}");
  const columns = [
    { name: word("number"), of: (row) => row.order_id, class: "muted" },
    { name: fieldName("symbol"), of: (row) => h("b", {}, row.symbol) },
    { name: fieldName("account"), of: (row) => row.account },
    { name: fieldName("side"), of: sideCell },
    { name: fieldName("order_type"), of: (row) => [valueName(row.order_type), termsOf(row)] },
    { name: fieldName("time_in_force"), of: (row) => valueName(row.time_in_force) },
    { name: word("leaves"), of: (row) => grouped(row.leaves_quantity ?? 0), class: "figure" },
    { name: fieldName("quantity"), of: (row) => grouped(row.order_quantity), class: "figure" },
    { name: fieldName("price"), of: (row) => grouped(row.price || "–"), class: "figure" },
    { name: word("state"), of: stateOf },
  ];
  if (mayAct) columns.push({ name: "", of: actions, class: "actions-cell" });
  return table(word("own_orders"), columns, rows, { empty });
}

const stateOf = (row) => (isProposed(row)
  ? word("block_proposed") : word(`status_${row.order_status}`));

// What makes an order other than plain, in short.
function termsOf(row) {
  const said = [
    row.stop_price && `${fieldName("stop_price")} ${row.stop_price}`,
    row.display_quantity && `${fieldName("display_quantity")} ${grouped(row.display_quantity)}`,
    row.minimum_quantity && `${fieldName("minimum_quantity")} ${grouped(row.minimum_quantity)}`,
    row.expire_date,
    row.post_only && word("post_only"),
  ].filter(Boolean).join(" · ");
  return said && h("span", { class: "muted terms" }, said);
}

function actions(row) {
  const id = `${row.market}/${row.order_id}`;
  const named = `${valueName(sideOf(row))} ${row.leaves_quantity ?? ""} ${row.symbol}`;
  const [first, last] = isProposed(row)
    ? [word("accept_block"), word("decline_block")] : [word("replace"), word("cancel")];
  const ending = h("button", {
    type: "button", class: "small", "data-focus": `cancel ${id}`,
    "aria-label": `${last} ${named}`, onclick: () => cancel(row),
  }, last);
  const isFixed = row.quote_id || (row.order_type === "BLOCK" && !isProposed(row));
  if (isFixed) return [ending]; // a quote's sides change with the quote, a block not at all
  return [
    h("button", {
      type: "button", class: "small", "data-focus": `replace ${id}`,
      "aria-label": `${first} ${named}`,
      onclick: () => (isProposed(row) ? accept(row) : replace(row)),
    }, first),
    ending,
  ];
}

// The other side of a block, which is done with it.
function accept(row) {
  const side = sideOf(row);
  const body = {
    type: "BlockConfirmation", symbol: row.symbol, account: row.account, side,
    quantity: row.order_quantity, price: row.price, proposal_id: row.order_id,
  };
  confirmAct({
    title: word("entry_blocks_confirmations"),
    facts: [
      [fieldName("account"), row.account], [fieldName("symbol"), row.symbol],
      [fieldName("side"), valueName(side)],
      [fieldName("quantity"), `${grouped(row.order_quantity)} t`],
      [fieldName("price"), grouped(row.price)],
    ],
    verb: word("accept_block"),
    isDangerous: false,
    act: async () => {
      const report = await send("POST", "/blocks/confirmations", { body });
      forget(row);
      take(report);
      notify(toldOf(report));
    },
  });
}

async function cancel(row) {
  try {
    const query = { symbol: row.symbol, account: row.account };
    const report = await send("DELETE", `/orders/${row.order_id}`, { query });
    take(report);
    notify(toldOf(report), "plain");
  } catch (error) {
    openDialog(word("cancel"), () => tellProblem(error));
  }
}

function replace(row) {
  openDialog(`${word("replace")} ${row.symbol}`, (close) => {
    const quantity = h("input", {
      inputmode: "numeric", class: "figure", value: String(row.order_quantity), autofocus: true,
    });
    const price = h("input", { inputmode: "decimal", class: "figure", value: row.price ?? "" });
    const said = h("div", { role: "alert" });
    async function submit(event) {
      event.preventDefault();
      if (!isWhole(quantity.value) || (row.price && !isAmount(price.value, digitsOf(row.market)))) {
        const wrong = isWhole(quantity.value) ? "bad_price" : "bad_quantity";
        said.replaceChildren(h("p", { class: "problem" }, word(wrong)));
        return;
      }
      const body = {
        type: "OrderCancelReplaceRequest", symbol: row.symbol, account: row.account,
        quantity: quantity.value, ...(row.price ? { price: price.value } : {}),
      };
      try {
        const report = await send("PUT", `/orders/${row.order_id}`, { body });
        take(report);
        notify(toldOf(report));
        close();
      } catch (error) {
        showProblem(said, error);
      }
    }
    return h("form", { onsubmit: submit, class: "stack", novalidate: true },
      h("p", { class: "muted" }, word("replace_note")),
      h("label", { class: "field" }, h("span", {}, word("new_total")), quantity),
      row.price && h("label", { class: "field" }, h("span", {}, fieldName("price")), price),
      said,
      h("div", { class: "actions" }, h("button", { type: "button", onclick: close }, word("back")),
        h("button", { type: "submit", class: "primary" }, word("replace"))));
  });
}

function fills() {
  return table(word("own_fills"), [
    { name: word("time"), of: (row) => h("span", { title: momentOf(row.transact_time_ns) },
      timeOf(row.transact_time_ns)), class: "muted" },
    { name: fieldName("symbol"), of: (row) => h("b", {}, row.symbol) },
    { name: fieldName("account"), of: (row) => row.account },
    { name: fieldName("side"), of: sideCell },
    { name: fieldName("quantity"), of: (row) => grouped(row.last_quantity), class: "figure" },
    { name: fieldName("price"), of: (row) => grouped(row.last_price), class: "figure" },
    { name: word("fee"), of: (row) => grouped(row.fee || "0"), class: "figure" },
    { name: word("liquidity"), of: (row) => valueName(row.liquidity) },
    { name: word("trade"), of: (row) => row.trade_id, class: "figure muted" },
  ], desk.fills, { empty: word("no_fills") });
}

export function positions() {
  const rows = desk.positions.flatMap((own) => [
    { own, name: own.currency, ...own.cash },
    ...own.units.map((unit) => ({ own, name: unit.symbol, isUnits: true, ...unit })),
  ]);
  const amount = (key) => (row) => grouped(row[key]) + (row.isUnits ? " t" : "");
  return table(word("own_positions"), [
    { name: fieldName("account"), of: (row) => row.own.account },
    { name: fieldName("market"), of: (row) => row.own.market, class: "muted" },
    { name: word("what"), of: (row) => h("b", {}, row.name) },
    { name: word("available"), of: amount("available"), class: "figure" },
    { name: word("held"), of: amount("held"), class: "figure" },
    { name: word("locked"), of: amount("locked"), class: "figure" },
  ], rows, { empty: word("no_positions") });
}
