// Forms made from the schemas of the API document, so that they follow its vocabulary. Amounts and
// tonnes stay the strings that were typed.

import { resolve } from "./api.js";
import { desk } from "./desk.js";
import { h } from "./dom.js";
import { fieldName, valueName } from "./names.js";
import { markets, venue } from "./venue.js";

const SET_BY_PAGE = new Set(["type", "ref", "valid_ms"]);
const MONEY = /price|amount|reserve/;
const SYMBOLS = new Set(["symbol", "allowance"]);
const MARKETS = new Set(["market", "bound_market"]);

// A form's fields by name: each { element, read(), isRequired }. `preset` fills some in, `skip`
// leaves some out, `market` narrows accounts and instruments.
export function fieldsOf(schema, { preset = {}, skip = new Set(), market = "" } = {}) {
  const found = {};
  for (const [name, property] of Object.entries(schema.properties)) {
    if (SET_BY_PAGE.has(name) || skip.has(name)) continue;
    const isRequired = schema.required?.includes(name) ?? false;
    found[name] = makeField(name, property, isRequired, preset[name], market);
  }
  return found;
}

// The JSON body of the fields; what is empty and need not be there is left out.
export function bodyOfFields(fields, fixed = {}) {
  const body = { ...fixed };
  for (const [name, field] of Object.entries(fields)) {
    const value = field.read();
    if (value !== undefined && (value !== "" || field.isRequired)) body[name] = value;
  }
  return body;
}

function makeField(name, property, isRequired, preset, market) {
  const kinds = kindsOf(property);
  const object = kinds.find((kind) => kind.$ref || kind.type === "object");
  if (object) return makeGroup(name, resolve(object), isRequired);
  if (kinds.some((kind) => kind.type === "boolean")) return makeCheck(name, property, preset);
  const value = preset ?? property.default;
  const control = makeControl(name, kinds, isRequired, market);
  if (control.options?.length > 1 && isRequired && value === undefined) {
    control.prepend(h("option", { value: "" }, "–")); // no choice is made for anybody
    control.required = true;
  }
  if (control.options && value === undefined) control.selectedIndex = 0;
  if (value !== undefined && value !== null && value !== 0) control.value = String(value);
  const isInteger = kinds.some((kind) => kind.type === "integer")
    && !kinds.some((kind) => kind.type === "string");
  return {
    isRequired,
    control,
    element: h("label", { class: "field" }, h("span", {}, fieldName(name)), control),
    read: () => {
      const text = control.value.trim();
      if (text === "" && !isRequired) return undefined;
      return isInteger && /^-?\d{1,15}$/.test(text) ? Number(text) : text;
    },
  };
}

const kindsOf = (property) => (property.anyOf ?? [property]).filter((kind) => kind.type !== "null");

function makeControl(name, kinds, isRequired, market) {
  const isHere = (row) => !market || row.market === market;
  const listed = kinds.find((kind) => kind.enum);
  if (listed) return makeSelect(listed.enum.map((value) => [value, valueName(value)]), isRequired);
  if (SYMBOLS.has(name)) {
    const rows = venue.instruments.filter(isHere).map((item) => [item.symbol, item.symbol]);
    return makeSelect(rows, isRequired);
  }
  if (MARKETS.has(name)) return makeSelect(markets().map((code) => [code, code]), isRequired);
  // others' accounts are known to who sees them all
  if (name === "account" && desk.accounts.length) {
    const rows = desk.accounts.filter(isHere)
      .map((row) => [row.account, `${row.account} · ${row.name}`]);
    return makeSelect(rows, isRequired);
  }
  if (kinds.some((kind) => kind.format === "date")) {
    return h("input", { type: "date", required: isRequired });
  }
  const isFigure = kinds.some((kind) => kind.type === "integer") || MONEY.test(name);
  return h("input", {
    autocomplete: "off", spellcheck: "false", required: isRequired,
    inputmode: isFigure ? "decimal" : "text", class: isFigure ? "figure" : "",
    placeholder: name === "trading_date" ? "YYYYMMDD" : "",
  });
}

export function makeSelect(options, isRequired = true) {
  const isComplete = isRequired || options.some(([value]) => value === "");
  const rows = isComplete ? options : [["", "–"], ...options];
  return h("select", {}, rows.map(([value, name]) => h("option", { value }, name || "–")));
}

function makeCheck(name, property, preset) {
  const box = h("input", { type: "checkbox", checked: preset ?? property.default ?? false });
  return {
    isRequired: false,
    control: box,
    element: h("label", { class: "field check" }, box, h("span", {}, fieldName(name))),
    read: () => (box.checked === (property.default ?? false) ? undefined : box.checked),
  };
}

// A part that may be left out as a whole, as the override of the opening gate.
function makeGroup(name, schema, isRequired) {
  const fields = fieldsOf(schema);
  const box = h("input", { type: "checkbox", checked: isRequired });
  const inner = h("div", { class: "fields", hidden: !isRequired },
    Object.values(fields).map((field) => field.element));
  const settle = () => {
    inner.hidden = !box.checked;
    for (const field of Object.values(fields)) field.control.disabled = !box.checked;
  };
  box.addEventListener("change", settle);
  settle();
  return {
    isRequired,
    control: box,
    element: h("fieldset", { class: "group" },
      h("label", { class: "field check" }, box, h("span", {}, fieldName(name))), inner),
    read: () => (box.checked ? bodyOfFields(fields) : undefined),
  };
}
