// What one can do to a batch.

import { get, hasKey, may, post, request, url } from "./api.js";
import { count, el, shown, tell } from "./dom.js";

const FORMATS = ["html", "csv", "jsonl", "markdown", "parquet", "openai"];
const path = (id) => `batches/${encodeURIComponent(id)}`;

/** Buttons that fit how the batch stands and what is shown of it. `acted` gets its document. */
export function actions(document_, filter, acted) {
  const { batch_id: id, status, request_counts: counts } = document_;
  const open = counts.queued + counts.scheduled + counts.started > 0;
  const button = (label, action, question) => el("button", {
    type: "button",
    onclick: async ({ target }) => {
      if (target.ariaBusy || (question && !confirm(question))) return;
      target.ariaBusy = "true"; // disabled it would lose the focus
      try { acted(await post(`${path(id)}/${action}`)); tell(""); } catch (error) { tell(error.message, true); }
      target.ariaBusy = null;
    },
  }, label);
  if (may().read_only) return [compare(id), download(id)];
  const some = Object.keys(filter).length > 0;
  const among = some ? `?${new URLSearchParams(filter)}` : "";
  const made = [];
  if (open) made.push(status === "on_hold" ? button("Resume", "resume") : button("Pause", "pause"));
  if (counts.failed && ["failed", undefined].includes(filter.status)) {
    made.push(button(some ? "Retry what failed of these" : `Retry ${count(counts.failed)} failed`, `retry${among}`));
  }
  if (open && ["queued", "scheduled", undefined].includes(filter.status) && !filter.error && !filter.field) {
    made.push(button(some ? "Cancel what waits of these" : "Cancel", `cancel${among}`,
      some ? "Cancel those of the charts shown that have not started?" : "Cancel all that has not started?"));
  }
  made.push(compare(id), download(id));
  return made;
}

/** Opens what the server makes of it. With a key it is fetched and saved: an address can carry none. */
async function hand(from, name, opens = false) {
  try {
    const href = hasKey() ? URL.createObjectURL(await (await request(from)).blob()) : url(from).href;
    const how = opens && !hasKey() ? { target: "_blank", rel: "noopener" } : { download: name };
    el("a", { href, ...how }).click();
    if (hasKey()) setTimeout(() => URL.revokeObjectURL(href), 60000);
  } catch (error) { tell(error.message, true); }
}

/** A choice that does what is chosen, and then stands as before. */
function menu(label, title, options, chosen) {
  const choice = el("select", { "aria-label": title }, el("option", { value: "" }, label), ...options);
  choice.addEventListener("change", () => {
    const { value } = choice;
    choice.value = "";
    if (value) chosen(value);
  });
  return choice;
}

function download(id) {
  return menu("Download …", "Download the results", FORMATS.map((form) => el("option", { value: form }, form)),
    (form) => hand(`${path(id)}/results?format=${form}`, `${id}.${form}`));
}

function compare(id) {
  const choice = menu("Compare with …", "Compare with another batch", [],
    (other) => hand(`${path(id)}/compare?with=${encodeURIComponent(other)}`, `${id}-${other}.html`, true));
  const fill = async () => {
    choice.removeEventListener("focus", fill);
    choice.removeEventListener("pointerenter", fill);
    try {
      const { data } = await get("batches?limit=100");
      choice.append(...data.filter((one) => one.batch_id !== id).map((one) =>
        el("option", { value: one.batch_id }, shown(`${one.name || one.prompt || one.model} · ${one.batch_id}`, 80))));
    } catch (error) { tell(error.message, true); }
  };
  choice.addEventListener("focus", fill);
  choice.addEventListener("pointerenter", fill);
  return choice;
}
