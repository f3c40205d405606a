// An identity from a password and a code: a cookie that no script can read, and the token that
// everything but a GET carries beside it. Whoever does nothing for `idle_s` is logged out.

import { logIn, logOut } from "./api.js";

const SECOND_MS = 1_000;
const SIGNS = ["keydown", "pointerdown"]; // of somebody being there: what the page asks is none

// Logs in; throws what the venue says. `over()` is called when nobody was there for too long.
export async function readLogin(name, password, code, over) {
  const login = await logIn({ name, password, code });
  let timer = 0;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(over, login.idle_s * SECOND_MS);
  };
  for (const sign of SIGNS) addEventListener(sign, wait, { passive: true });
  wait();
  const headers = { "X-Exchange-CSRF": login.csrf_token };
  return {
    id: login.name,
    headers: async (method) => (method === "GET" ? {} : headers),
    end() {
      clearTimeout(timer);
      for (const sign of SIGNS) removeEventListener(sign, wait);
      logOut(headers);
    },
  };
}
