// What one can do to a batch.

import { hasKey, may, post, request, url } from "./api.js";
import { el, tell } from "./dom.js";

const FORMATS = ["html", "csv", "jsonl", "markdown", "parquet", "openai"];
const path = (id) => `batches/${encodeURIComponent(id)}`;

/** Buttons that fit how the batch stands. `acted` gets its document. */
export function actions(document_, filter, acted) {
  const { batch_id: id, status, request_counts: counts } = document_;
  const open = counts.queued + counts.scheduled + counts.started > 0;
  const button = (label, action, question) => el("button", {
    type: "button",
    onclick: async (event) => {
      if (question && !confirm(question)) return;
      event.target.disabled = true;
      try { acted(await post(`${path(id)}/${action}`)); tell(""); } catch (error) { tell(error.message, true); }
      event.target.disabled = false;
    },
  }, label);
  const made = [];
  if (may().read_only) return [download(id)];
  if (open) made.push(status === "on_hold" ? button("Resume", "resume") : button("Pause", "pause"));
  if (counts.failed && filter.error) made.push(button(`Retry ${filter.error}`, `retry-kind?error=${encodeURIComponent(filter.error)}`));
  else if (counts.failed) made.push(button(`Retry ${counts.failed} failed`, "retry"));
  if (open) made.push(button("Cancel", "cancel", "Cancel what has not started?"));
  made.push(download(id));
  return made;
}

function download(id) {
  const choice = el("select", { "aria-label": "Download the results" }, el("option", { value: "" }, "Download …"),
    ...FORMATS.map((form) => el("option", { value: form }, form)));
  choice.addEventListener("change", async () => {
    const form = choice.value;
    choice.value = "";
    if (!form) return;
    const from = `${path(id)}/results?format=${form}`;
    try {
      const href = hasKey() ? URL.createObjectURL(await (await request(from)).blob()) : url(from).href;
      el("a", { href, download: `${id}.${form}` }).click();
      if (hasKey()) setTimeout(() => URL.revokeObjectURL(href), 60000);
    } catch (error) { tell(error.message, true); }
  });
  return choice;
}
