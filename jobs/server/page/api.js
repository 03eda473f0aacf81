// The HTTP API. The key is in this module's memory: not in storage, not in a URL.

import { tell } from "./dom.js";

let key = "";
let askForKey = async () => "";

export const onKeyNeeded = (ask) => { askForKey = ask; };
export const hasKey = () => key !== "";

let asking = null;
async function newKey(why) {
  asking ??= askForKey(why).then((given) => { key = given; asking = null; learnRights().catch(() => {}); });
  return asking;
}

export const url = (path) => new URL(path, document.baseURI);

/** The response if it is a good one; else an error with the server's sentence. Asks for a key when one is needed. */
export async function request(path, options = {}) {
  for (;;) {
    const sent = key;
    const headers = { ...options.headers, ...(sent ? { Authorization: `Bearer ${sent}` } : {}) };
    const answer = await fetch(url(path), { ...options, headers, credentials: "omit" }).catch((error) => {
      throw error.name === "AbortError" ? error : new Error("The server can't be reached: does chartq serve still run?");
    });
    if (answer.ok) return answer;
    if (answer.status === 401) {
      if (sent === key) await newKey(sent ? "This key opens nothing." : "");
      continue;
    }
    const said = await answer.json().catch(() => null);
    throw Object.assign(new Error(said?.error?.message ?? `the server answered ${answer.status}`), { status: answer.status });
  }
}

export const get = async (path, signal) => (await request(path, { signal })).json();
export const post = async (path, body) => (await request(path, { method: "POST", body })).json();

let rights = { name: null, read_only: true, lanes: false };
let learned = () => {};
export const onRights = (changed) => { learned = changed; };
/** What the key may do: nothing until the server has said so. */
export const may = () => rights;
/** Asks what the key may do, and tells if that is another than before: another key sees other batches and buttons. */
export async function learnRights() {
  const sent = key;
  const now = await get("key");
  if (sent !== key || JSON.stringify(now) === JSON.stringify(rights)) return;
  rights = now;
  document.documentElement.classList.toggle("reads", rights.read_only);
  learned();
}

/** Once the tab is looked at: one that isn't asks nothing. */
export const seen = () => new Promise((go) => {
  const look = () => {
    if (document.hidden) return;
    document.removeEventListener("visibilitychange", look);
    go();
  };
  document.addEventListener("visibilitychange", look);
  look();
});

/** Server-sent events, with the key in a header; comes back by itself. Returns what ends it.
 *
 * A browser has six connections to a server, for all its tabs: a hidden one gives its own back, and looks anew later. */
export function listen(path, heard, isOver = () => false) {
  let over = false;
  let stream = new AbortController();
  const turned = () => { if (document.hidden) stream.abort(); };
  const end = () => {
    over = true;
    document.removeEventListener("visibilitychange", turned);
    stream.abort();
  };
  document.addEventListener("visibilitychange", turned);
  (async () => {
    let wait = 500;
    let isLost = false;
    while (!over) {
      await seen();
      stream = new AbortController();
      try {
        for await (const event of events(path, stream.signal)) {
          if (over) return;
          wait = 500;
          if (isLost) tell("");
          isLost = false;
          heard(event);
          if (isOver(event)) { end(); return; }
        }
      } catch (error) {
        if (error.status === 404) {
          tell(error.message, true);
          end();
          return;
        }
        if (!stream.signal.aborted) {
          isLost = true; // what is shown is no longer what is
          tell(error.message, true);
        }
      }
      if (stream.signal.aborted) continue;
      await new Promise((go) => { setTimeout(go, wait); });
      wait = Math.min(10000, wait * 2);
    }
  })();
  return end;
}

async function* events(path, signal) {
  const answer = await request(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const whole = (kept + piece.value).split("\n\n");
    kept = whole.pop();
    for (const event of whole) {
      const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
      if (data) yield JSON.parse(data);
    }
  }
}
