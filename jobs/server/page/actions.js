// What one can do to a batch.

import { hasKey, may, post, request, url } from "./api.js";
import { count, el, tell } from "./dom.js";

const FORMATS = ["html", "csv", "jsonl", "markdown", "parquet", "openai"];
const path = (id) => `batches/${encodeURIComponent(id)}`;

/** Buttons that fit how the batch stands and what is shown of it. `acted` gets its document. */
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
  if (may().read_only) return [download(id)];
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
