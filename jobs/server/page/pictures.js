// Charts as bitmaps on canvases: fetched with the key, decoded away from the page, kept while there is room.

import { request } from "./api.js";

const MOST = { small: 400, large: 24 };
const kept = { small: new Map(), large: new Map() };

// A browser has six connections to a server: some stay free for rows. What was scrolled past is not fetched.
const AT_ONCE = 4;
const wanted = [];
let ahead = [];
let running = 0;

/** The job whose picture a row shows: its own; of a stage without any, the one whose answer it asks about. */
export function pictured(row) {
  if (!row) return null;
  if (row.image !== null) return row.job_id;
  return row.source_image ? row.source_job_id : null;
}

/** { bitmap, ready }: bitmap once it is there. */
function picture(id, size) {
  const among = kept[size];
  let one = among.get(id);
  if (one) among.delete(id);
  else {
    one = { id, size, bitmap: null, isAsked: false };
    one.ready = new Promise((came, failed) => Object.assign(one, { came, failed }));
    one.ready.catch(() => setTimeout(() => among.delete(id), 10000));
  }
  among.set(id, one);
  if (among.size > MOST[size]) among.delete(among.keys().next().value);
  return one;
}

function next() {
  while (running < AT_ONCE) {
    const turn = wanted.shift() ?? ahead.shift();
    if (!turn) return;
    if (!turn.one.isAsked && turn.isWanted()) fetched(turn.one);
  }
}

async function fetched(one) {
  one.isAsked = true;
  running += 1;
  try {
    const answer = await request(`jobs/${encodeURIComponent(one.id)}/picture?size=${one.size}`);
    one.bitmap = await createImageBitmap(await answer.blob());
    one.came();
  } catch (error) { one.failed(error); }
  running -= 1;
  next();
}

/** Large pictures that one may get to: fetched when nothing else is. */
export function fetchAhead(ids) {
  ahead = ids.map((id) => ({ one: picture(id, "large"), isWanted: () => true }));
  next();
}

/** Puts the chart on the canvas, at once if it is there already. */
export function draw(canvas, id, size, name) {
  canvas.dataset.job = id;
  canvas.setAttribute("aria-label", name);
  canvas.classList.remove("gone");
  canvas.title = "";
  const one = picture(id, size);
  const isWanted = () => canvas.dataset.job === id && canvas.isConnected;
  const paint = () => {
    if (canvas.dataset.job !== id || !one.bitmap) return;
    canvas.width = one.bitmap.width;
    canvas.height = one.bitmap.height;
    canvas.getContext("2d").drawImage(one.bitmap, 0, 0);
  };
  if (one.bitmap) { paint(); return; }
  canvas.width = 1;
  canvas.height = 1;
  one.ready.then(paint, (error) => {
    if (canvas.dataset.job !== id) return;
    canvas.classList.add("gone");
    canvas.title = error.message.slice(0, 300);
  });
  wanted.push({ one, isWanted });
  next();
}
