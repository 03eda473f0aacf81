// Charts as bitmaps on canvases: fetched with the key, decoded away from the page, kept while there is room.

import { request } from "./api.js";

const MOST = { small: 400, large: 24 };
const kept = { small: new Map(), large: new Map() };

/** The job whose picture a row shows: its own; of a stage without any, the one whose answer it asks about. */
export function pictured(row) {
  if (!row) return null;
  if (row.image !== null) return row.job_id;
  return row.source_image ? row.source_job_id : null;
}

async function fetched(id, size) {
  const answer = await request(`jobs/${encodeURIComponent(id)}/picture?size=${size}`);
  return createImageBitmap(await answer.blob());
}

/** { bitmap, ready }: bitmap once it is there. */
export function picture(id, size) {
  const among = kept[size];
  let one = among.get(id);
  if (one) among.delete(id);
  else {
    one = { bitmap: null };
    one.ready = fetched(id, size).then((bitmap) => { one.bitmap = bitmap; });
    one.ready.catch(() => setTimeout(() => among.delete(id), 10000));
  }
  among.set(id, one);
  if (among.size > MOST[size]) among.delete(among.keys().next().value);
  return one;
}

/** Puts the chart on the canvas, at once if it is there already. */
export function draw(canvas, id, size, name) {
  canvas.dataset.job = id;
  canvas.setAttribute("aria-label", name);
  canvas.classList.remove("gone");
  const one = picture(id, size);
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
}
