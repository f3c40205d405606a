// What belongs to the one who signed in: accounts, positions, open orders and fills. A participant
// hears of each change on the order socket; others, who cannot log on there, ask every POLL_MS.

import { get } from "./api.js";
import { may, onSession, session } from "./session.js";
import { Lasting } from "./sockets.js";
import { markets, socketUrl } from "./venue.js";

const POLL_MS = 3_000;
const GATHER_MS = 120; // positions are asked for once after a burst of reports
const FILLS_MAX = 200;
const OPEN = new Set(["NEW", "PARTIALLY_FILLED"]);
const ENDED = new Set(["FILLED", "CANCELLED", "REJECTED"]);

const listeners = new Set();
let socket = null;
let timer = 0;
let gathering = 0;
let seen = {}; // market: last sequence
let resumeFrom = {};

// `reach`: none, live, lost
export const desk = { accounts: [], positions: [], orders: new Map(), fills: [], reach: "none" };

export const onDesk = (listener) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const accountsOf = (market) => desk.accounts.filter((row) => row.market === market);

function tell() {
  for (const listener of [...listeners]) listener();
}

export function startDesk() {
  onSession(() => {
    socket?.end();
    clearTimeout(timer);
    socket = null;
    seen = {};
    Object.assign(desk, {
      accounts: [], positions: [], orders: new Map(), fills: [], reach: "none",
    });
    tell();
    if (session.identity) begin();
  });
}

async function begin() {
  const who = session.identity;
  try {
    if (may("GET", "/accounts")) desk.accounts = (await get("/accounts")).accounts;
    if (who !== session.identity) return;
    if (session.role !== "participant") {
      await poll(who);
      return;
    }
    await readOrders(who);
    resumeFrom = Object.fromEntries(markets().map((market) => [market, 0]));
    connect(who);
  } catch {
    timer = setTimeout(begin, POLL_MS);
  }
  tell();
}

function connect(who) {
  socket = new Lasting({
    url: () => socketUrl("orders"),
    opened: async (open) => open.send(await who.logon({ ...resumeFrom, ...seen })),
    changed: (state) => {
      if (state === "lost") {
        desk.reach = "lost";
        tell();
      }
    },
    received: (messages) => {
      for (const message of messages) heard(message, who);
      tell();
    },
  });
}

function heard(message, who) {
  if (message.type === "LoggedOn") {
    desk.reach = "live";
    refreshPositions();
  } else if (message.type === "Gap") {
    readOrders(who).catch(() => {});
  } else if (message.type === "ExecutionReport") {
    take(message);
  }
}

// One report: into the open orders, or out of them, and among the fills.
export function take(report) {
  if (report.sequence) {
    seen[report.market] = Math.max(seen[report.market] ?? 0, report.sequence);
  }
  if (report.exec_type === "PENDING" || report.exec_type === "REJECTED") return;
  const id = `${report.market}/${report.order_id}`;
  if (ENDED.has(report.order_status)) desk.orders.delete(id);
  else if (report.order_id && OPEN.has(report.order_status)) {
    const before = desk.orders.get(id);
    if (!before || (before.sequence ?? 0) <= (report.sequence ?? 0)) desk.orders.set(id, report);
  }
  if (report.exec_type === "TRADE") addFill(report);
  refreshPositions();
}

// A proposal of somebody else's that was confirmed here: no report of it comes to who confirms.
export function forget(row) {
  desk.orders.delete(`${row.market}/${row.order_id}`);
  refreshPositions();
}

function addFill(report) {
  const isKnown = desk.fills.some(
    (fill) => fill.market === report.market && fill.trade_id === report.trade_id
      && fill.order_id === report.order_id,
  );
  if (isKnown) return;
  desk.fills.push(report);
  desk.fills.sort(
    (a, b) => b.transact_time_ns - a.transact_time_ns || b.sequence - a.sequence,
  );
  desk.fills.length = Math.min(desk.fills.length, FILLS_MAX);
}

async function readOrders(who) {
  const { orders } = await get("/orders");
  if (who !== session.identity) return;
  desk.orders = new Map(orders.map((order) => [`${order.market}/${order.order_id}`, order]));
}

function refreshPositions() {
  clearTimeout(gathering);
  gathering = setTimeout(async () => {
    const who = session.identity;
    if (!who || !may("GET", "/positions")) return;
    try {
      const { positions } = await get("/positions");
      if (who === session.identity) desk.positions = positions;
      tell();
    } catch {
      // the socket tells when the venue is back, and asks again
    }
  }, GATHER_MS);
}

async function poll(who) {
  if (who !== session.identity) return;
  try {
    if (may("GET", "/orders")) await readOrders(who);
    refreshPositions();
    desk.reach = "live";
  } catch {
    desk.reach = "lost";
  }
  tell();
  timer = setTimeout(() => poll(who), POLL_MS);
}

// Asks for accounts and positions again: after an operation that may have changed them.
export async function refreshDesk() {
  if (may("GET", "/accounts")) desk.accounts = (await get("/accounts")).accounts;
  refreshPositions();
}
