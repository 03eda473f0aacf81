// One chart large, and from it to the next by keys: the neighbours' pictures are there before one gets to them.

import { get } from "./api.js";
import { count, el, fact, inWords, pill, shown, when } from "./dom.js";
import { draw, fetchAhead, pictured } from "./pictures.js";

const DETAILS_MS = 120;

export class Viewer {
  /** `closed` is told which chart was the last. */
  constructor(rows, closed) {
    this.rows = rows;
    this.canvas = el("canvas", { role: "img" });
    this.name = el("h2", { id: "viewer-name", tabindex: "-1", autofocus: true });
    this.place = el("span", { class: "soft" });
    this.state = el("span", {});
    this.answer = el("div", { class: "said" });
    this.source = el("div", { class: "words source" });
    this.details = el("div", { class: "details" });
    this.element = el("dialog", { id: "viewer", "aria-labelledby": "viewer-name" },
      el("header", {},
        el("button", { type: "button", "aria-label": "Previous chart (k)", onclick: () => this.go(-1) }, "‹"),
        el("button", { type: "button", "aria-label": "Next chart (j)", onclick: () => this.go(1) }, "›"),
        this.name, this.place, this.state,
        el("button", { type: "button", "aria-label": "Close (Escape)", onclick: () => this.element.close() }, "×")),
      el("div", { class: "body" },
        el("div", { class: "shot" }, this.canvas),
        this.source, el("div", { class: "words", "aria-live": "polite" }, this.answer, this.details)));
    this.element.addEventListener("keydown", (event) => this.pressed(event));
    this.element.addEventListener("close", () => closed(this.index));
    this.index = 0;
    this.wait = 0;
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { j: 1, ArrowRight: 1, ArrowDown: 1, k: -1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || event.target.closest("pre")) return;
    event.preventDefault();
    this.go(step);
  }

  go(step) {
    const next = this.index + step;
    if (next >= 0 && next < this.rows.total) this.show(next);
  }

  open(index) {
    if (!this.element.open) this.element.showModal();
    this.show(index);
  }

  /** Shown again once the row has come or has changed. */
  again() {
    if (this.element.open) this.show(this.index);
  }

  show(index) {
    this.index = index;
    const row = this.rows.at(index);
    this.place.textContent = `${count(index + 1)} of ${count(this.rows.total)}`;
    const text = row ? JSON.stringify([index, row]) : "";
    if (text && text === this.text) return;
    this.text = text;
    this.name.textContent = row ? shown(row.custom_id, 200) : "…";
    this.state.replaceChildren(...(row ? [pill(row.status)] : []));
    this.source.replaceChildren(...(row?.source_text ? [el("h3", {}, "Asked about"), el("p", { class: "answer" }, shown(row.source_text))] : []));
    this.answer.replaceChildren(...(row ? [el("h3", {}, row.status === "failed" ? "Error" : "Answer"), ...said(row)] : []));
    this.details.replaceChildren();
    const chart = pictured(row);
    this.element.classList.toggle("plain", row !== undefined && chart === null);
    this.element.classList.toggle("stage", Boolean(row?.source_text));
    this.canvas.hidden = chart === null;
    if (chart !== null) draw(this.canvas, chart, "large", shown(row.custom_id, 200));
    fetchAhead([1, 2, -1, 3, 4].map((away) => this.near(index + away)).filter((id) => id !== null));
    clearTimeout(this.wait);
    if (row) this.wait = setTimeout(() => this.more(row, text), DETAILS_MS);
  }

  near(index) {
    return index >= 0 && index < this.rows.total ? pictured(this.rows.at(index)) : null;
  }

  async more(row, text) {
    try {
      const job = await get(`jobs/${encodeURIComponent(row.job_id)}`);
      if (text !== this.text) return;
      this.details.replaceChildren(...timeline(job), ...raw(job));
    } catch { /* the row itself is shown */ }
  }
}

function said(row) {
  if (row.status === "failed" && row.error) return [el("p", { class: "error" }, shown(`${row.error.type}: ${row.error.message}`))];
  if (row.answer && typeof row.answer === "object") {
    const fields = Object.entries(row.answer).flatMap(([name, value]) =>
      [el("dt", {}, shown(name, 100)), el("dd", {}, shown(inWords(value)))]);
    return [el("dl", { class: "fields" }, ...fields)];
  }
  return [row.text === null ? el("p", { class: "none" }, "No answer yet.") : el("p", { class: "answer" }, shown(row.text))];
}

function timeline(job) {
  const facts = el("dl", { class: "facts" }, fact("submitted", when(job.created_at)));
  if (job.started_at) facts.append(fact("started", when(job.started_at)));
  if (job.throttled) facts.append(fact("refused", job.throttled === 1 ? "once" : `${job.throttled} times`));
  if (job.attempts) facts.append(fact("calls", String(job.attempts)));
  if (job.finished_at) facts.append(fact(job.status === "finished" ? "answered" : "ended", when(job.finished_at)));
  if (job.result?.latency_s) facts.append(fact("took", `${job.result.latency_s.toFixed(1)} s`));
  if (job.result?.provider) facts.append(fact("provider", shown(job.result.provider, 80)));
  return [el("h3", {}, "Timeline"), facts];
}

const raw = (job) => (job.result
  ? [el("details", {}, el("summary", {}, "Raw reply"), el("pre", { tabindex: "0" }, shown(JSON.stringify(job.result.raw, null, 2))))]
  : []);
