// Who uses the page. Nothing of it is stored: a closed tab has signed out.
//
// An identity is an object with `id`, `headers(method, target, body)` (a promise of the headers
// that prove it) and `logon(resumeFrom)` (a promise of the first message on the order socket).
// `key.js` makes one from a key file, `login.js` one from a password; that one has no `logon`, for
// operators have no order socket, and an `end()`. What an identity may do comes from the venue.

import { describe, get, readClock, rolesOf, signWith } from "./api.js";

const listeners = new Set();

export const session = { identity: null, participant: 0, role: "public" };

export function onSession(listener) {
  listeners.add(listener);
}

// Signs in if the venue knows the identity; throws what it says otherwise.
export async function signIn(identity) {
  await readClock();
  signWith(identity);
  try {
    await describe();
    const { role, participant } = await get("/session");
    Object.assign(session, { identity, role, participant });
  } catch (error) {
    signWith(session.identity);
    identity.end?.();
    throw error;
  }
  tell();
}

export function signOut() {
  session.identity?.end?.();
  signWith(null);
  Object.assign(session, { identity: null, role: "public", participant: 0 });
  tell();
}

// Whether the role may use a route, as the API document says: may("POST", "/orders").
export function may(method, path) {
  const roles = rolesOf(method, path);
  return roles.includes("public") || roles.includes(session.role);
}

function tell() {
  for (const listener of listeners) listener();
}
