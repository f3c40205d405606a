// An identity from a key file: Ed25519 in the browser's own cryptography. The private half cannot
// be read out again and lives as long as the page.

import { nowNs } from "./clock.js";

// RFC 8410: the 16 bytes before the 32 of a private key in PKCS #8
const PKCS8 = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const KEY_BYTES = 32;
const KEY_FILE_BYTES_MAX = 4_096;
const encoder = new TextEncoder();

// Reads a file as `exchange` writes it; throws an Error whose message is a key of words.js.
export async function readKey(file) {
  if (!globalThis.crypto?.subtle) throw new Error("key_insecure");
  const text = file.size <= KEY_FILE_BYTES_MAX ? await file.text() : "";
  const id = /^id\s*=\s*"([^"]+)"/m.exec(text)?.[1];
  const bytes = decode(/^private_key\s*=\s*"([^"]+)"/m.exec(text)?.[1] ?? "");
  if (!id || bytes.length !== KEY_BYTES) throw new Error("key_unreadable");
  let key;
  try {
    const whole = Uint8Array.of(...PKCS8, ...bytes);
    key = await crypto.subtle.importKey("pkcs8", whole, { name: "Ed25519" }, false, ["sign"]);
    whole.fill(0);
  } catch {
    throw new Error("key_unsupported");
  } finally {
    bytes.fill(0);
  }
  return identity(id, key);
}

function identity(id, key) {
  async function signed(method, target, body) {
    const timestamp = nowNs();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(body)));
    const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const text = [method, target, id, timestamp, 0, hash].join("\n");
    const signature = await crypto.subtle.sign("Ed25519", key, encoder.encode(text));
    return { timestamp, signature: btoa(String.fromCharCode(...new Uint8Array(signature))) };
  }
  return {
    id,
    async headers(method, target, body) {
      const { timestamp, signature } = await signed(method, target, body);
      return {
        "X-Exchange-Key": id,
        "X-Exchange-Timestamp": String(timestamp),
        "X-Exchange-Window": "0",
        "X-Exchange-Signature": signature,
      };
    },
    async logon(resumeFrom) {
      const { timestamp, signature } = await signed("LOGON", "", "");
      const rest = JSON.stringify({ key: id, signature, resume_from: resumeFrom }).slice(1);
      return `{"type":"Logon","timestamp_ns":${timestamp},${rest}`;
    },
  };
}

function decode(text) {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
