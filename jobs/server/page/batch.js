// A batch: where it stands, live, and its charts.

import { actions } from "./actions.js";
import { get, listen } from "./api.js";
import { Pace, standing, why } from "./batches.js";
import { bar, count, el, pill, redraw, shown, STATES, tell } from "./dom.js";
import { Grid, Rows } from "./grid.js";
import { Viewer } from "./viewer.js";

const OVER = ["completed", "completed_with_errors", "canceled"];
const TYPING_MS = 200;

export function batch(main, id) {
  const head = el("section", { class: "standing" });
  const bars = el("div", { class: "acts", role: "toolbar", "aria-label": "What to do with the batch" });
  const state = el("select", { "aria-label": "Show" });
  const kinds = el("select", { "aria-label": "Kind of error", hidden: true });
  const search = el("input", { type: "search", id: "q", placeholder: "Search names and answers, or trend = up", "aria-label": "Search names and answers", autocomplete: "off", spellcheck: "false", maxlength: "200" });
  const found = el("output", { id: "count", "aria-live": "polite" });
  const back = el("p", { class: "back" }, el("a", { href: "#/" }, "‹ All batches"));
  const pace = new Pace();
  let filter = {};
  let counts = "";
  let end = () => {};
  let wait = 0;

  const rows = new Rows(id, () => { grid.schedule(); viewer.again(); found.textContent = rows.total === 1 ? "1 chart" : `${count(rows.total)} charts`; }, (error) => {
    tell(error.message, true);
    if (error.status === 404) main.replaceChildren(back);
  });
  const viewer = new Viewer(rows, (index) => grid.reveal(index));
  const grid = new Grid(rows, (index) => viewer.open(index));
  main.append(back, head, bars,
    el("div", { class: "sift", role: "search" }, search, state, kinds, found), grid.element, viewer.element);

  const heard = (document_) => {
    const now = document_.request_counts;
    document.title = `${shown(document_.name || id, 60)} – chartq`;
    const parts = [
      el("h1", {}, shown(document_.name || document_.prompt || id, 200)),
      el("div", { class: "pills" }, pill(document_.status), el("code", {}, shown(document_.model, 200)), el("code", {}, shown(id, 80))),
      document_.prompt && document_.name ? el("blockquote", {}, shown(document_.prompt, 2000)) : null,
      bar(now), standing(document_, pace.heard(now), () => heard(last)), why(document_)];
    head.replaceChildren(...parts.filter(Boolean));
    if (JSON.stringify(now) !== counts) {
      const first = !counts;
      counts = JSON.stringify(now);
      const chosen = state.value;
      state.replaceChildren(el("option", { value: "" }, `All ${count(now.total)}`),
        ...STATES.filter((one) => now[one] || one === chosen).map((one) => el("option", { value: one }, `${one} ${count(now[one])}`)));
      state.value = chosen;
      if (!first) rows.refresh(Object.values(now).join());
      if (now.failed) errorKinds();
    }
    const acts = JSON.stringify([document_.status, now.failed, filter, now.queued + now.scheduled + now.started > 0]);
    if (bars.dataset.acts !== acts) {
      bars.dataset.acts = acts;
      redraw(bars, ...actions(document_, filter, (next) => { heard(next); follow(); }));
    }
    last = document_;
  };
  let last = null;

  async function errorKinds() {
    const { data } = await get(`batches/${encodeURIComponent(id)}/errors`).catch(() => ({ data: [] }));
    const types = new Map();
    for (const kind of data) types.set(kind.type, (types.get(kind.type) ?? 0) + kind.count);
    const chosen = kinds.value;
    kinds.replaceChildren(el("option", { value: "" }, "Any error"),
      ...[...types].map(([type, many]) => el("option", { value: type }, `${shown(type, 60)} ${count(many)}`)));
    kinds.value = types.has(chosen) ? chosen : "";
    kinds.hidden = !types.size;
  }

  const select = () => {
    const [, field, value] = /^([^\s=]+)\s*=\s*(.+)$/.exec(search.value.trim()) ?? [];
    const sought = field ? { field, value } : { q: search.value.trim() };
    filter = Object.fromEntries(Object.entries({ status: state.value, error: kinds.value, ...sought }).filter(([, value]) => value));
    scrollTo({ top: 0 });
    rows.select(filter);
    if (last) heard(last);
  };
  state.addEventListener("change", select);
  kinds.addEventListener("change", select);
  search.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(select, TYPING_MS); });
  const keys = (event) => {
    if (event.key === "/" && !event.target.closest("input, dialog")) { event.preventDefault(); search.focus(); }
    if ((event.key === "j" || event.key === "Enter") && event.target === document.body && rows.total) viewer.open(viewer.index);
  };
  addEventListener("keydown", keys);

  // An ended batch's stream ends; whoever acts on it follows anew.
  function follow() {
    end();
    end = listen(`batches/${encodeURIComponent(id)}/events`, heard, (document_) => OVER.includes(document_.status));
  }
  rows.select(filter);
  follow();
  // The stream speaks once a tick: whoever comes need not wait for it.
  get(`batches/${encodeURIComponent(id)}`).then((document_) => { if (!last) heard(document_); }, () => {});
  return () => { end(); grid.leave(); removeEventListener("keydown", keys); clearTimeout(wait); };
}
