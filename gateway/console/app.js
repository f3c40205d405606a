// The shell: which page is shown, signing in, shortcuts, and whether the venue can be reached.

import { describe, onLoginOver } from "./api.js";
import { openAuctions } from "./auctions.js";
import { clockText } from "./clock.js";
import { openCompliance } from "./compliance.js";
import { desk, onDesk, startDesk } from "./desk.js";
import { factList, isDialogOpen, notify, openDialog } from "./dialogs.js";
import { $, h } from "./dom.js";
import { readKey } from "./key.js";
import { readLogin } from "./login.js";
import { openMarket } from "./market.js";
import { openOperations } from "./operations.js";
import { tellProblem } from "./problems.js";
import { may, onSession, session, signIn, signOut } from "./session.js";
import { openSurveillance } from "./surveillance.js";
import { keepFresh, onVenue, openFeed, refresh, venue } from "./venue.js";
import { speak, toggle, word } from "./words.js";

const RETRY_MS = 1_000;

// in the order of the keys 1, 2, 3, ...; `isFor` says who sees it
const PAGES = {
  market: { open: openMarket, isFor: () => true },
  auctions: { open: openAuctions, isFor: () => true },
  compliance: {
    open: openCompliance, isFor: () => session.identity && may("GET", "/surrender-plan"),
  },
  operations: {
    open: openOperations, isFor: () => session.identity && may("POST", "/operations/phase"),
  },
  surveillance: {
    open: openSurveillance,
    isFor: () => ["operator", "authority"].includes(session.role) || (
      session.identity && may("GET", "/alerts")
    ),
  },
};

let close = () => {};
let shown = "";
let missed = ""; // a page that was asked for before its reader had signed in

const allowed = () => Object.keys(PAGES).filter((id) => PAGES[id].isFor());

// -- pages ---------------------------------------------------------------------------------------

function route() {
  const [wanted, rest = ""] = decodeURIComponent(location.hash.slice(1)).split("/");
  const isAllowed = allowed().includes(wanted);
  const id = isAllowed ? wanted : "market";
  if (!isAllowed && PAGES[wanted]) missed = wanted;
  close();
  shown = id;
  document.body.dataset.page = id;
  $("sequence").textContent = "";
  close = PAGES[id].open($("view"), rest);
  drawTabs();
}

function go(id) {
  if (!allowed().includes(id)) return;
  if (location.hash.slice(1).split("/")[0] === id) return;
  location.hash = id;
  route(); // at once: the event comes after the keys that were pressed meanwhile
}

function drawTabs() {
  $("tabs").replaceChildren(...allowed().map((id) => h("a", {
    href: `#${id}`, "aria-current": id === shown ? "page" : null,
  }, word(`page_${id}`))));
  $("tabs").querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
  document.title = `${word(`page_${shown}`)} · ${venue.name || word("exchange")}`;
}

function drawState() {
  const isLost = venue.reach === "lost" || desk.reach === "lost";
  const state = isLost ? "lost" : venue.reach;
  const text = word(`reach_${state}`);
  if ($("state").textContent !== text) $("state").textContent = text;
  $("dot").className = `dot ${state}`;
  $("venue").textContent = venue.name || word("exchange");
}

function say() {
  speak();
  const { identity, role } = session;
  $("who").textContent = identity ? `${identity.id} · ${word(`role_${role}`)}` : "";
  $("sign").textContent = word(identity ? "sign_out" : "sign_in");
  drawState();
}

// -- signing in ----------------------------------------------------------------------------------

function askIdentity() {
  openDialog(word("sign_in"), (closeDialog) => {
    const said = h("div", { role: "alert" });
    async function enter(made) {
      said.replaceChildren();
      try {
        await signIn(await made());
        closeDialog();
        notify(`${word("signed_in")} ${session.identity.id}`);
        return true;
      } catch (error) {
        said.replaceChildren(error.reason === undefined
          ? h("p", { class: "problem" }, word(error.message)) : tellProblem(error));
        return false;
      }
    }
    return h("div", { class: "stack" }, keyFields(enter), loginForm(enter), said);
  });
}

function keyFields(enter) {
  const file = h("input", {
    type: "file", id: "key-file", accept: ".key,text/plain", autofocus: true,
    onchange: async () => {
      if (!file.files.length) return;
      if (!await enter(() => readKey(file.files[0]))) file.value = "";
    },
  });
  return h("div", { class: "stack" },
    h("p", {}, word("key_pick")),
    h("label", { class: "field" }, h("span", {}, word("key_file")), file),
    h("p", { class: "muted" }, word("key_note")));
}

function loginForm(enter) {
  const field = (id, rest) => h("input", {
    id, name: id, required: true, spellcheck: "false", autocapitalize: "none", ...rest,
  });
  const name = field("login-name", { autocomplete: "username" });
  const password = field("login-password", { type: "password", autocomplete: "current-password" });
  const code = field("login-code", {
    autocomplete: "one-time-code", inputmode: "numeric", pattern: "[0-9]{6}", class: "figure",
  });
  const button = h("button", { type: "submit", class: "primary" }, word("log_in"));
  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    const made = () => readLogin(name.value, password.value, code.value, overByItself);
    if (await enter(made)) return;
    button.disabled = false;
    code.value = ""; // one is good once
    code.focus();
  }
  return h("form", { id: "login", class: "stack", onsubmit: submit },
    h("h3", {}, word("login_operators")),
    h("div", { class: "fields" },
      [[word("login_name"), name], [word("login_password"), password], [word("login_code"), code]]
        .map(([text, control]) => h("label", { class: "field" }, h("span", {}, text), control))),
    h("p", { class: "muted" }, word("login_note")),
    h("div", { class: "actions" }, button));
}

function overByItself() {
  if (!session.identity) return;
  signOut();
  notify(word("login_over"), "plain");
}

function sign() {
  if (session.identity) signOut();
  else askIdentity();
}

// -- the keyboard --------------------------------------------------------------------------------

function keys() {
  return [
    ...allowed().map((id, at) => [String(at + 1), word(`page_${id}`), () => go(id)]),
    ["b", word("key_buy"), () => ticketSide("BUY")],
    ["s", word("key_sell"), () => ticketSide("SELL")],
    ["o", word("own_orders"), () => $("own")?.querySelector('[role="tab"][tabindex="0"]').focus()],
    ["i", word("instruments"), () => $("instruments")?.querySelector('[tabindex="0"]').focus()],
    ["l", word("language"), () => changeLanguage()],
    ["k", word(session.identity ? "sign_out" : "sign_in"), sign],
    ["?", word("help"), help],
  ];
}

function ticketSide(side) {
  $("ticket")?.querySelector(`[data-side="${side}"]`).click();
  $("ticket")?.querySelector(".fields input").focus();
}

function help() {
  openDialog(word("help"), () => h("div", { class: "stack" },
    factList([...keys().map(([key, name]) => [name, h("kbd", {}, key)]),
      [word("key_close"), h("kbd", {}, "Esc")], [word("key_arrows"), h("kbd", {}, "← →")]]),
    h("p", { class: "muted" }, word("help_note"))));
}

function pressed(event) {
  const field = event.target.closest?.("input, select, textarea, [contenteditable]");
  const isTyping = field && !field.closest("dialog:not([open])"); // it keeps the focus a while
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping || isDialogOpen()) return;
  const found = keys().find(([key]) => key === event.key);
  if (!found) return;
  event.preventDefault();
  found[2]();
}

function changeLanguage() {
  toggle();
  say();
  route();
}

// -- start ---------------------------------------------------------------------------------------

async function reachVenue() {
  try {
    await describe();
    await refresh();
  } catch {
    venue.reach = "lost";
    drawState();
    setTimeout(reachVenue, RETRY_MS);
    return;
  }
  openFeed();
  setTimeout(keepFresh, RETRY_MS);
  route();
  addEventListener("hashchange", () => {
    const id = decodeURIComponent(location.hash.slice(1)).split("/")[0];
    if (id !== shown) route();
  });
}

onVenue(drawState);
onDesk(drawState);
onSession(() => {
  say();
  if (allowed().includes(missed)) history.replaceState(null, "", `#${missed}`);
  missed = "";
  route();
});
startDesk();
onLoginOver(overByItself);
$("language").addEventListener("click", changeLanguage);
$("sign").addEventListener("click", sign);
$("help").addEventListener("click", help);
$("skip").addEventListener("click", () => $("view").focus());
addEventListener("keydown", pressed);
say();
$("clock").textContent = clockText();
setInterval(() => { $("clock").textContent = clockText(); }, 1_000);
reachVenue();
