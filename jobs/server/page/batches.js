// The list of batches, live.

import { get, listen } from "./api.js";
import { cost } from "./cost.js";
import { bar, count, duration, el, fact, pill, shown, tell, when } from "./dom.js";

const ended = (counts) => counts.finished + counts.failed + counts.canceled;

/** Charts a minute over the last half minute, from what was heard. */
export class Pace {
  constructor() { this.seen = []; }

  heard(counts) {
    const now = performance.now();
    this.seen.push([now, ended(counts)]);
    while (this.seen.length > 2 && now - this.seen[0][0] > 30000) this.seen.shift();
    const [at, before] = this.seen[0];
    return now - at < 3000 ? null : Math.max(0, (ended(counts) - before) / (now - at) * 60000);
  }
}

/** `again`: draws it anew, once what it costs is known. */
export function standing(document_, pace, again) {
  const counts = document_.request_counts;
  const facts = el("dl", { class: "facts" }, fact("charts", `${count(ended(counts))} of ${count(counts.total)}`));
  if (counts.failed) facts.append(fact("failed", count(counts.failed)));
  if (document_.status === "in_progress" && pace !== null) facts.append(fact("pace", `${count(Math.round(pace))} / min`));
  if (document_.eta_s !== null) facts.append(fact("left", duration(document_.eta_s)));
  const tokens = (document_.usage.prompt_tokens ?? 0) + (document_.usage.completion_tokens ?? 0);
  if (tokens) facts.append(fact("tokens", count(tokens)));
  const dollars = tokens ? cost(document_, again) : "";
  if (dollars) facts.append(fact("cost", dollars));
  facts.append(fact(document_.finished_at ? "ended" : "begun", when(document_.finished_at ?? document_.created_at)));
  return facts;
}

export function why(document_) {
  if (document_.hold) return el("p", { class: "banner" }, `On hold: ${shown(document_.hold.message ?? document_.hold.reason, 600)}`);
  if (document_.resume_at) return el("p", { class: "banner" }, `The provider asked to wait: it goes on at ${when(document_.resume_at)}.`);
  return null;
}

function card(document_, pace) {
  const facts = el("div", {});
  const draw = () => facts.replaceChildren(standing(document_, pace, draw));
  draw();
  return el("article", { class: "batch" },
    el("header", {},
      el("h2", {}, el("a", { href: `#/batch/${encodeURIComponent(document_.batch_id)}` }, shown(document_.name || document_.prompt || document_.batch_id, 140))),
      pill(document_.status)),
    el("p", { class: "soft" }, shown(document_.name ? `${document_.model} · ${document_.prompt ?? ""}` : document_.model, 200)),
    bar(document_.request_counts),
    facts,
    why(document_));
}

export function batches(main) {
  document.title = "chartq";
  const list = el("div", { id: "batches" }, el("p", { class: "nothing" }, "Looking …"));
  const more = el("button", { type: "button", id: "more", hidden: true }, "Show older ones");
  main.append(el("h1", {}, "Batches"), list, el("section", { id: "older" }), el("p", { class: "after" }, more));
  const paces = new Map();
  const cards = new Map();
  let last = "";

  const heard = ({ data }) => {
    const shownNow = [];
    for (const document_ of data) {
      const id = document_.batch_id;
      if (!paces.has(id)) paces.set(id, new Pace());
      const pace = paces.get(id).heard(document_.request_counts);
      const text = JSON.stringify([document_, pace && Math.round(pace)]);
      const known = cards.get(id);
      if (known?.text !== text) {
        const made = card(document_, pace);
        const focused = known?.made.contains(document.activeElement);
        known?.made.replaceWith(made);
        if (focused) made.querySelector("a").focus();
        cards.set(id, { made, text });
      }
      shownNow.push(cards.get(id).made);
    }
    const order = data.map((one) => one.batch_id).join();
    if (order !== last || !shownNow.length) {
      list.replaceChildren(...(shownNow.length ? shownNow : [empty()]));
      last = order;
    }
    more.hidden = data.length < 100 || more.disabled;
    more.dataset.after ||= data.at(-1)?.batch_id ?? "";
  };

  more.addEventListener("click", async () => {
    try {
      const page = await get(`batches?limit=100&after=${encodeURIComponent(more.dataset.after)}`);
      document.getElementById("older").append(...page.data.map((one) => card(one, null)));
      more.dataset.after = page.data.at(-1)?.batch_id ?? "";
      more.disabled = !page.has_more;
      more.hidden = more.disabled;
    } catch (error) { tell(error.message, true); }
  });
  return listen("batches/events", heard);
}

const empty = () => el("div", { class: "nothing" },
  el("p", {}, "No batch yet."), el("p", {}, el("a", { href: "#/new", class: "primary" }, "Ask about charts")));
