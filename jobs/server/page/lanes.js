// The lanes: may each be called now, and if not, until when and why?

import { get } from "./api.js";
import { count, duration, el, fact, pill, shown, tell, when } from "./dom.js";

const EVERY_MS = 2000;

function card(lane) {
  const facts = el("dl", { class: "facts" }, fact("in flight", `${lane.in_flight}${lane.concurrency ? ` of ${lane.concurrency}` : ""}`), fact("queued", count(lane.queued)));
  for (const window_ of lane.budget ?? []) {
    facts.append(fact(`budget in ${duration(window_.window_s)}`, `${count(window_.left)} of ${count(window_.limit)} left`));
  }
  const reason = lane.message ?? lane.reason;
  return el("article", { class: "batch" },
    el("header", {}, el("h2", {}, shown(lane.model, 200)), pill(lane.state)),
    el("p", { class: "soft" }, lane.account ? `account ${shown(lane.account, 60)}` : "no worker has come yet"),
    facts,
    lane.state !== "open" && reason ? el("p", { class: "banner" }, shown(reason, 600)) : null,
    lane.closed_until ? el("p", { class: "soft" }, `closed until ${when(lane.closed_until)}`) : null);
}

export function lanes(main) {
  document.title = "Lanes – chartq";
  const list = el("div", { id: "lanes" });
  main.append(el("h1", {}, "Lanes"), list);
  let timer = 0;
  let gone = false;
  const look = async () => {
    try {
      const { data } = await get("lanes");
      if (gone) return;
      list.replaceChildren(...(data.length ? data.map(card) : [el("p", { class: "nothing" }, "No lane yet: nothing was asked.")]));
      tell("");
    } catch (error) { tell(error.message, true); }
    if (!gone) timer = setTimeout(look, EVERY_MS);
  };
  look();
  return () => { gone = true; clearTimeout(timer); };
}
