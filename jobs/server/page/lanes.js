// The lanes: may each be called now, and if not, until when and why?

import { get, may, post, seen } from "./api.js";
import { count, duration, el, fact, pill, shown, tell, when } from "./dom.js";

const EVERY_MS = 2000;

function acts(lane, acted) {
  const button = (label, action, asked = () => "") => el("button", { type: "button", onclick: async () => {
    const more = asked();
    if (more === null) return;
    try { acted(await post(`lanes/${action}?model=${encodeURIComponent(lane.model)}${more}`)); } catch (error) { tell(error.message, true); }
  } }, label);
  const rate = () => {
    const said = prompt(`Budget of ${lane.model}, as 30/m; none: no budget of its own`, lane.limit ?? "none");
    return said === null ? null : `&rate=${encodeURIComponent(said.trim() || "none")}`;
  };
  return el("div", { class: "acts" }, button("Pause", "pause"), button("Resume", "resume"), button("Limit …", "limit", rate));
}

function card(lane, acted) {
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
    lane.closed_until ? el("p", { class: "soft" }, `closed until ${when(lane.closed_until)}`) : null,
    may().lanes && !may().read_only ? acts(lane, acted) : null);
}

export function lanes(main) {
  document.title = "Lanes – chartq";
  const list = el("div", { id: "lanes" });
  main.append(el("h1", {}, "Lanes"), list);
  let timer = 0;
  let gone = false;
  let last = "";
  const show = ({ data }) => {
    const text = JSON.stringify(data.map((lane) => ({ ...lane, next_permit_s: 0 })));
    if (text === last) return; // whoever is at a button stays there
    last = text;
    list.replaceChildren(...(data.length ? data.map((lane) => card(lane, show)) : [el("p", { class: "nothing" }, "No lane yet: nothing was asked.")]));
    tell("");
  };
  const look = async () => {
    await seen();
    try {
      const { data } = await get("lanes");
      if (gone) return;
      show({ data });
    } catch (error) { tell(error.message, true); }
    if (!gone) timer = setTimeout(look, EVERY_MS);
  };
  look();
  return () => { gone = true; clearTimeout(timer); };
}
