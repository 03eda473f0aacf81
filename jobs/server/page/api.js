// The HTTP API. The key is in this module's memory: not in storage, not in a URL.

let key = "";
let askForKey = async () => "";

export const onKeyNeeded = (ask) => { askForKey = ask; };
export const hasKey = () => key !== "";

let asking = null;
async function newKey(why) {
  asking ??= askForKey(why).then((given) => { key = given; asking = null; });
  return asking;
}

export const url = (path) => new URL(path, document.baseURI);

/** The response if it is a good one; else an error with the server's sentence. Asks for a key when one is needed. */
export async function request(path, options = {}) {
  for (;;) {
    const sent = key;
    const headers = { ...options.headers, ...(sent ? { Authorization: `Bearer ${sent}` } : {}) };
    const answer = await fetch(url(path), { ...options, headers, credentials: "omit" });
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
/** What the key may do: nothing until the server has said so. */
export const may = () => rights;
export async function learnRights() {
  rights = await get("key");
  document.documentElement.classList.toggle("reads", rights.read_only);
}

/** Server-sent events, with the key in a header; comes back by itself. Returns what ends it. */
export function listen(path, heard, isOver = () => false) {
  const end = new AbortController();
  (async () => {
    let wait = 500;
    while (!end.signal.aborted) {
      try {
        const answer = await request(path, { signal: end.signal });
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let kept = "";
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
          const events = (kept + piece.value).split("\n\n");
          kept = events.pop();
          for (const event of events) {
            const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
            if (!data) continue;
            wait = 500;
            const document_ = JSON.parse(data);
            heard(document_);
            if (isOver(document_)) return;
          }
        }
      } catch (error) {
        if (end.signal.aborted || error.status === 404) return;
      }
      await new Promise((go) => { setTimeout(go, wait); });
      wait = Math.min(10000, wait * 2);
    }
  })();
  return () => end.abort();
}
