// Requests to the venue. An answer is its JSON; a refusal is a VenueError with a numbered reason.

import { learn, nowNs } from "./clock.js";

const TIMEOUT_MS = 12_000;
const TIMESTAMP_OUTSIDE_WINDOW = 512;
const NOT_LOGGED_IN = 547;
const PUBLIC = ["public"];

let signer = null; // the identity of session.js, null: nobody
let description = null; // GET /openapi.json
let queue = Promise.resolve();
let loginOver = () => {};

class VenueError extends Error {
  // `reason` 0: the venue did not answer; `isUnknown`: it may have acted all the same
  constructor(problem, isUnknown = false) {
    const { reason = 0, title = "", detail = "", status = 0, report = null } = problem;
    super(`${reason} ${title}`);
    Object.assign(this, { reason, title, detail, status, report, isUnknown });
  }
}

export function signWith(identity) {
  signer = identity;
}

// `over()` is called when the venue no longer knows a login.
export function onLoginOver(over) {
  loginOver = over;
}

export const logIn = (body) => exchange("POST", "/login", {}, JSON.stringify(body));

// Nobody waits for the answer: a login that is not ended here ends when it is not used.
export function logOut(headers) {
  fetch("/logout", { method: "POST", headers, keepalive: true }).catch(() => {});
}

export async function describe() {
  description = await get("/openapi.json");
  return description;
}

export const paths = () => Object.entries(description?.paths ?? {});
const schemaOf = (name) => description?.components.schemas[name] ?? null;

// What a route is, by method and its path with braces; undefined: not offered here.
export const operation = (method, path) => description?.paths[path]?.[method.toLowerCase()];
export const rolesOf = (method, path) => operation(method, path)?.["x-roles"] ?? [];
export const isOffered = (method, path) => operation(method, path) !== undefined;

// The schema of a route's body, null for none.
export function bodyOf(method, path) {
  const content = operation(method, path)?.requestBody?.content["application/json"].schema;
  return content?.$ref ? resolve(content) : content ?? null;
}

export const resolve = (schema) => (
  schema.$ref ? schemaOf(schema.$ref.split("/").at(-1)) : schema
);

export const get = (path, query = {}) => exchange("GET", path, query, "");

// Sends what changes something: one at a time, so that each `ref` is above the one before.
export function send(method, path, { query = {}, body = null } = {}) {
  const turn = queue.then(() => {
    const ref = nowNs();
    if (!body) return exchange(method, path, { ...query, ref }, "");
    // `ref` is above what a number of JSON.stringify can hold
    return exchange(method, path, query, `{"ref":${ref},${JSON.stringify(body).slice(1)}`);
  });
  queue = turn.catch(() => {});
  return turn;
}

export async function readClock() {
  const asked = Date.now();
  const text = await (await fetch("/time")).text();
  learn(BigInt(/"time_ns":(\d+)/.exec(text)[1]), asked, Date.now());
}

async function exchange(method, path, query, body) {
  try {
    return await once(method, path, query, body);
  } catch (error) {
    // nothing was done: this machine's clock differs, or the gateway was started meanwhile
    if (error.reason !== TIMESTAMP_OUTSIDE_WINDOW) throw error;
    await readClock();
    return once(method, path, query, body);
  }
}

async function once(method, path, query, body) {
  const text = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== "" && value !== undefined),
  ).toString();
  const target = text ? `${path}?${text}` : path;
  const isSigned = signer && String(rolesOf(method, path)) !== String(PUBLIC);
  const headers = isSigned ? await signer.headers(method, target, body) : {};
  if (body) headers["Content-Type"] = "application/json";
  let response;
  let answer;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    response = await fetch(target, { method, headers, body: body || undefined, signal });
    answer = await response.json();
  } catch {
    throw new VenueError({}, method !== "GET");
  }
  // GET /ready answers 503 with what it waits for
  if (!response.ok && answer.reason !== undefined) {
    if (answer.reason === NOT_LOGGED_IN && isSigned) loginOver();
    throw new VenueError(answer);
  }
  return answer;
}
