// The order ticket. Its words are those of the API document: order types, times in force and terms
// that the venue learns appear here without a change.

import { bodyOf, get, isOffered, send } from "./api.js";
import { accountsOf, desk, onDesk, take } from "./desk.js";
import { notify } from "./dialogs.js";
import { grouped, isAmount, isWhole, worth } from "./decimals.js";
import { h } from "./dom.js";
import { entryForm, entryKinds, entryName } from "./entries.js";
import { bodyOfFields, fieldsOf, makeSelect } from "./forms.js";
import { fieldName, valueName } from "./names.js";
import { showProblem, toldOf } from "./problems.js";
import { word } from "./words.js";

const BASE = new Set([
  "symbol", "account", "side", "quantity", "price", "order_type", "time_in_force",
]);
// terms that only some orders have: shown when they may be needed
const NEEDED = {
  stop_price: (draft) => draft.order_type.startsWith("STOP"),
  expire_date: (draft) => draft.time_in_force === "GTD",
};
const UNPRICED = new Set(["MARKET", "STOP"]);
const FOR_MARKET = ["IOC", "FOK"];

const draft = { side: "BUY", account: "", quantity: "", price: "", order_type: "LIMIT",
  time_in_force: "DAY" };

// Shows the ticket in `root`; returns what the page may tell it.
export function openTicket(root) {
  let instrument = null;
  const schema = bodyOf("POST", "/orders");
  const options = (name) => (schema.properties[name].enum ?? []).map((value) => (
    [value, valueName(value)]
  ));
  const quantity = h("input", { inputmode: "numeric", autocomplete: "off", class: "figure" });
  const priceOf = h("input", { inputmode: "decimal", autocomplete: "off", class: "figure" });
  const type = makeSelect(options("order_type"));
  const lasts = makeSelect(options("time_in_force"));
  const account = makeSelect([]);
  const terms = fieldsOf(schema, { skip: BASE });
  const sides = h("div", { class: "sides", role: "radiogroup", "aria-label": fieldName("side") });
  const available = h("p", { class: "muted available" });
  const estimate = h("p", { class: "muted estimate" });
  const room = h("p", { class: "muted room" });
  let roomOf = "";
  const said = h("div", { role: "alert" });
  const button = h("button", { type: "submit", class: "primary wide" });
  const controls = { quantity, price: priceOf, order_type: type, time_in_force: lasts, account };

  for (const side of schema.properties.side.enum) {
    sides.append(h("button", {
      type: "button", role: "radio", class: side.toLowerCase(), "data-side": side,
      onclick: () => setSide(side), onkeydown: turnSide,
    }, valueName(side)));
  }
  for (const [name, control] of Object.entries(controls)) {
    control.value = draft[name];
    control.addEventListener("input", () => {
      draft[name] = control.value;
      settle();
    });
  }

  function turnSide(event) {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    setSide(draft.side === "BUY" ? "SELL" : "BUY");
    sides.querySelector('[tabindex="0"]').focus();
  }

  function setSide(side) {
    draft.side = side;
    settle();
  }

  // Everything that follows from what is chosen.
  function settle() {
    for (const item of sides.children) {
      const isPicked = item.dataset.side === draft.side;
      item.setAttribute("aria-checked", String(isPicked));
      item.tabIndex = isPicked ? 0 : -1;
    }
    const isUnpriced = UNPRICED.has(draft.order_type);
    if (draft.order_type === "MARKET" && ["DAY", "GTC", "GTD"].includes(draft.time_in_force)) {
      draft.time_in_force = FOR_MARKET[0];
      lasts.value = draft.time_in_force;
    }
    priceOf.disabled = isUnpriced;
    for (const [name, isNeeded] of Object.entries(NEEDED)) {
      if (terms[name]) terms[name].element.hidden = !isNeeded(draft);
    }
    button.className = `wide ${draft.side === "BUY" ? "buy" : "sell"}`;
    button.textContent = `${valueName(draft.side)} ${instrument?.symbol ?? ""}`;
    drawMoney();
  }

  // What the caps of its obligations leave an account that buys an offset.
  async function drawRoom() {
    const isAsked = draft.side === "BUY" && instrument?.kind === "offset" && account.value
      && isOffered("GET", "/offset-headroom");
    const wanted = isAsked ? `${account.value} ${instrument.symbol}` : "";
    if (wanted === roomOf) return;
    roomOf = wanted;
    room.textContent = "";
    if (!wanted) return;
    const reply = await get("/offset-headroom", {
      account: account.value, symbol: instrument.symbol,
    }).catch(() => null);
    if (roomOf === wanted && reply?.years.length) {
      room.textContent = `${word("room")} ${grouped(reply.room)} t`;
    }
  }

  function drawMoney() {
    if (!instrument) return;
    drawRoom();
    const { market, currency, minor_digits: digits, symbol } = instrument;
    const own = desk.positions.find((row) => (
      row.market === market && String(row.account) === account.value
    ));
    const units = own?.units.find((row) => row.symbol === symbol)?.available ?? 0;
    available.textContent = draft.side === "BUY"
      ? `${word("available")} ${grouped(own?.cash.available ?? "0")} ${currency}`
      : `${word("available")} ${grouped(units)} t`;
    const value = UNPRICED.has(draft.order_type) ? "" : worth(draft.price, draft.quantity, digits);
    estimate.textContent = value ? `${word("value")} ${grouped(value)} ${currency}` : "";
  }

  function drawAccounts() {
    const rows = instrument ? accountsOf(instrument.market) : [];
    const before = account.value || draft.account;
    account.replaceChildren(...rows.map((row) => (
      h("option", { value: row.account }, `${row.account} · ${row.name}`)
    )));
    if (rows.some((row) => String(row.account) === before)) account.value = before;
    drawMoney();
  }

  // What is wrong before it is sent, as a key of words.js; "" for nothing.
  function fault() {
    if (!account.value) return "no_account";
    if (!isWhole(draft.quantity)) return "bad_quantity";
    if (UNPRICED.has(draft.order_type)) return "";
    return isAmount(draft.price, instrument.minor_digits) ? "" : "bad_price";
  }

  async function submit(event) {
    event.preventDefault();
    const wrong = fault();
    if (wrong) {
      said.replaceChildren(h("p", { class: "problem" }, word(wrong)));
      (wrong === "bad_price" ? priceOf : quantity).focus();
      return;
    }
    const shown = Object.fromEntries(
      Object.entries(terms).filter(([name]) => NEEDED[name]?.(draft) ?? true),
    );
    const body = bodyOfFields(shown, {
      type: schema.properties.type.enum[0], symbol: instrument.symbol,
      account: Number(account.value), side: draft.side, quantity: draft.quantity,
      order_type: draft.order_type, time_in_force: draft.time_in_force,
      ...(UNPRICED.has(draft.order_type) ? {} : { price: draft.price }),
    });
    button.disabled = true;
    said.replaceChildren();
    try {
      const report = await send("POST", "/orders", { body });
      take(report);
      roomOf = "";
      drawRoom();
      notify(toldOf(report), report.order_status === "CANCELLED" ? "plain" : "good");
    } catch (error) {
      showProblem(said, error);
    }
    button.disabled = false;
  }

  const label = (name, control, more = "") => h("label", { class: `field ${more}` },
    h("span", {}, fieldName(name)), control);
  const always = Object.entries(terms).filter(([name]) => !NEEDED[name]);
  const special = Object.entries(terms).filter(([name]) => NEEDED[name]);
  const orderForm = h("form", { onsubmit: submit, novalidate: true },
    sides,
    h("div", { class: "fields pair" }, label("quantity", quantity), label("price", priceOf),
      label("order_type", type), label("time_in_force", lasts),
      special.map(([, field]) => field.element), label("account", account, "whole")),
    always.length > 0 && h("details", {}, h("summary", {}, word("more_terms")),
      h("div", { class: "fields" }, always.map(([, field]) => field.element))),
    h("div", { class: "money" }, available, estimate, room),
    button, said);
  const kind = makeSelect([["/orders", word("entry_order")],
    ...entryKinds().map((path) => [path, entryName(path)])]);
  kind.setAttribute("aria-label", word("entry_kind"));
  const place = h("div");
  const showKind = () => place.replaceChildren(
    kind.value === "/orders" ? orderForm : entryForm(kind.value, instrument),
  );
  kind.addEventListener("change", showKind);
  root.replaceChildren(h("div", { class: "toolbar" }, h("h2", {}, word("ticket")), kind), place);
  showKind();
  settle();
  const end = onDesk(drawAccounts);
  drawAccounts();
  return {
    end,
    setPrice(text) {
      if (priceOf.disabled) return;
      draft.price = text;
      priceOf.value = text;
      drawMoney();
    },
    setInstrument(item) {
      if (instrument && instrument.symbol !== item.symbol) {
        draft.price = "";
        priceOf.value = "";
        said.replaceChildren();
      }
      instrument = item;
      drawAccounts();
      settle();
      if (kind.value !== "/orders") showKind();
    },
  };
}
