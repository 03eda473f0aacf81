// The lanes: may each be called now, and if not, until when and why?

import { get, may, post, seen } from "./api.js";
import { count, duration, el, fact, pill, redraw, shown, svg, tell, when } from "./dom.js";

const EVERY_MS = 2000;

function acts(lane, act) {
  const button = (label, action, asked = () => "") => el("button", { type: "button", onclick: async () => {
    const more = asked();
    if (more === null) return;
    try { await act(`lanes/${action}?model=${encodeURIComponent(lane.model)}${more}`); } catch (error) { tell(error.message, true); }
  } }, label);
  const rate = () => {
    const said = prompt(`Budget of ${lane.model}, as 30/m; none: no budget of its own`, lane.limit ?? "none");
    return said === null ? null : `&rate=${encodeURIComponent(said.trim() || "none")}`;
  };
  const goes = lane.state === "on_hold" ? button("Resume", "resume") : button("Pause", "pause");
  return el("div", { class: "acts" }, goes, button("Limit …", "limit", rate));
}

const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);

/** Calls by the minute as bars, refusals among them at their foot. */
function hourLine({ calls, refused }) {
  const [many, no] = [sum(calls), sum(refused)];
  const told = many ? `${count(many)} calls, ${count(no)} refused` : "no calls";
  const most = Math.max(4, ...calls);
  const picture = svg("svg", { viewBox: `0 0 ${calls.length * 4} 24`, preserveAspectRatio: "none", role: "img", "aria-label": `Last hour by the minute: ${told}` });
  const bars = (numbers, name) => numbers.forEach((one, at) => {
    if (one) picture.append(svg("rect", { class: name, x: at * 4, width: 3, height: one / most * 24, y: 24 - one / most * 24 }));
  });
  bars(calls, "calls");
  bars(refused, "refused");
  return el("figure", { class: "hour" }, el("figcaption", {}, el("span", {}, "last hour"), " ", told), picture);
}

function card(lane, act) {
  const facts = el("dl", { class: "facts" }, fact("in flight", `${lane.in_flight}${lane.concurrency ? ` of ${lane.concurrency}` : ""}`), fact("queued", count(lane.queued)));
  for (const window_ of lane.budget ?? []) {
    facts.append(fact(`budget in ${duration(window_.window_s)}`, `${count(window_.left)} of ${count(window_.limit)} left`));
  }
  const reason = lane.message ?? lane.reason;
  return el("article", { class: "batch" },
    el("header", {}, el("h2", {}, shown(lane.model, 200)), pill(lane.state)),
    el("p", { class: "soft" }, lane.account ? `account ${shown(lane.account, 60)}` : "no worker has come yet"),
    facts,
    hourLine(lane.last_hour),
    lane.state !== "open" && reason ? el("p", { class: "banner" }, shown(reason, 600)) : null,
    lane.closed_until ? el("p", { class: "soft" }, `closed until ${when(lane.closed_until)}`) : null,
    may().lanes && !may().read_only ? acts(lane, act) : null);
}

export function lanes(main) {
  document.title = "Lanes – chartq";
  const list = el("div", { id: "lanes" });
  main.append(el("h1", {}, "Lanes"), list);
  let timer = 0;
  let gone = false;
  let last = "";
  let turn = 0; // another one with each act that is sent, and when it is answered
  const show = ({ data }) => {
    const text = JSON.stringify(data.map((lane) => ({ ...lane, next_permit_s: 0 })));
    if (text === last) return;
    last = text;
    redraw(list, ...(data.length ? data.map((lane) => card(lane, act)) : [el("p", { class: "nothing" }, "No lane yet: nothing was asked.")]));
    tell("");
  };
  const act = async (path) => {
    const mine = ++turn;
    const now = await post(path);
    if (mine !== turn) return; // a later act's answer tells of this one too
    turn += 1;
    show(now);
  };
  const look = async () => {
    await seen();
    const before = turn;
    try {
      const { data } = await get("lanes");
      if (gone) return;
      if (turn === before) show({ data }); // else it may tell what was before the act
    } catch (error) { tell(error.message, true); }
    if (!gone) timer = setTimeout(look, EVERY_MS);
  };
  look();
  return () => { gone = true; clearTimeout(timer); };
}
