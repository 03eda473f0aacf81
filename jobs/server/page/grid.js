// A window on very many rows: as many cards as can be seen, moved and filled as one scrolls.

import { get } from "./api.js";
import { el, inWords, pill, shown } from "./dom.js";
import { draw, pictured } from "./pictures.js";

const BLOCK = 100;
const KEPT_BLOCKS = 60;
const AHEAD_PX = 500;
// Blocks on their way, and those that wait: what was scrolled past meanwhile is not fetched.
const AT_ONCE = 2;
const WAITING = 4;

/** Rows of a batch by number, fetched in blocks. */
export class Rows {
  constructor(batchId, changed, failed) {
    Object.assign(this, { batchId, changed, failed, total: 0, filter: {}, blocks: new Map(), age: 0, waiting: [], running: 0 });
  }

  select(filter) {
    this.filter = filter;
    this.blocks.clear();
    this.age += 1;
    this.total = 0;
    this.waiting = [];
    return this.load(0);
  }

  at(index) {
    const number = Math.floor(index / BLOCK);
    const block = this.blocks.get(number);
    if (!block || block.stale) this.want(number);
    return block?.data[index % BLOCK];
  }

  /** What was read may be another by now: shown until it is read anew. `seen`: the counts that say so. */
  refresh(seen) {
    this.seen = seen;
    for (const block of this.blocks.values()) block.stale = true;
    this.changed();
  }

  want(number) {
    this.waiting = [...this.waiting.filter((one) => one !== number), number].slice(-WAITING);
    while (this.running < AT_ONCE && this.waiting.length) this.load(this.waiting.pop());
  }

  async load(number) {
    const block = this.blocks.get(number) ?? { data: [] };
    if (block.loading) return;
    this.running += 1;
    Object.assign(block, { loading: true, stale: false });
    this.blocks.set(number, block);
    if (this.blocks.size > KEPT_BLOCKS) this.blocks.delete(this.blocks.keys().next().value);
    const { age } = this;
    const asked = new URLSearchParams({ offset: number * BLOCK, limit: BLOCK, ...this.filter, ...(this.seen ? { seen: this.seen } : {}) });
    try {
      const page = await get(`batches/${encodeURIComponent(this.batchId)}/rows?${asked}`);
      if (age !== this.age) return;
      block.data = page.data;
      this.total = page.total;
      this.changed();
    } catch (error) {
      if (age === this.age) { this.blocks.delete(number); this.failed(error); }
    } finally {
      block.loading = false;
      this.running -= 1;
      if (this.waiting.length) this.want(this.waiting.pop());
    }
  }
}

export class Grid {
  constructor(rows, open) {
    this.rows = rows;
    this.open = open;
    this.element = el("div", { id: "grid", role: "list", "aria-label": "Charts" });
    this.cards = new Map();
    this.spare = [];
    this.later = 0;
    this.schedule = () => { this.later ||= requestAnimationFrame(() => { this.later = 0; this.render(); }); };
    addEventListener("scroll", this.schedule, { passive: true });
    addEventListener("resize", this.schedule);
  }

  leave() {
    removeEventListener("scroll", this.schedule);
    removeEventListener("resize", this.schedule);
    cancelAnimationFrame(this.later);
  }

  render() {
    const width = this.element.clientWidth;
    if (!width) return;
    const narrow = width < 560;
    const columns = narrow ? 1 : Math.max(2, Math.floor(width / 250));
    const height = narrow ? 132 : 292;
    Object.assign(this, { columns, height });
    this.element.style.height = `${Math.ceil(this.rows.total / columns) * height}px`;
    const top = this.element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((-top - AHEAD_PX) / height)) * columns;
    const last = Math.min(this.rows.total, Math.ceil((innerHeight - top + AHEAD_PX) / height) * columns);
    for (const [index, card] of this.cards) {
      if (index >= first && index < last) continue;
      card.element.remove();
      this.cards.delete(index);
      this.spare.push(card);
    }
    this.spare.length = Math.min(this.spare.length, 40);
    let before = null;
    for (let index = first; index < last; index += 1) {
      let card = this.cards.get(index);
      if (!card) {
        card = this.spare.pop() ?? this.made();
        this.cards.set(index, card);
        card.text = null;
      }
      // In the order in which they are seen, which Tab and screen readers go by.
      const place = before ? before.nextSibling : this.element.firstChild;
      if (card.element !== place) this.element.insertBefore(card.element, place);
      before = card.element;
      card.index = index;
      card.element.ariaPosInSet = index + 1;
      card.element.ariaSetSize = this.rows.total;
      const { style } = card.element;
      style.width = `${100 / columns}%`;
      style.height = `${height}px`;
      style.left = `${(index % columns) * 100 / columns}%`;
      style.top = `${Math.floor(index / columns) * height}px`;
      this.fill(card, this.rows.at(index));
    }
  }

  /** That card can be seen, and has the focus. */
  reveal(index) {
    const row = () => this.cards.get(index)?.element.getBoundingClientRect();
    const seen = row();
    if (!seen || seen.top < 60 || seen.bottom > innerHeight) {
      scrollTo({ top: scrollY + this.element.getBoundingClientRect().top + Math.floor(index / this.columns) * this.height - 100 });
    }
    this.render();
    this.cards.get(index)?.element.querySelector("button").focus({ preventScroll: true });
  }

  made() {
    const card = { canvas: el("canvas", { role: "img" }), name: el("h3", {}), state: el("span", {}), answer: el("p", {}) };
    const button = el("button", { type: "button", onclick: () => this.open(card.index) },
      el("span", { class: "shot" }, card.canvas), el("span", { class: "text" }, card.name, card.state, card.answer));
    card.element = el("div", { class: "cell", role: "listitem" }, button);
    return card;
  }

  fill(card, row) {
    const text = row ? JSON.stringify([row.job_id, row.custom_id, row.status, row.text?.length, row.error]) : "";
    if (card.text === text) return;
    card.text = text;
    card.element.classList.toggle("coming", !row);
    card.name.textContent = row ? shown(row.custom_id, 120) : "…";
    card.state.replaceChildren(...(row ? [pill(row.status)] : []));
    card.answer.textContent = row ? shown(inShort(row), 240) : "";
    card.answer.className = row?.status === "failed" ? "bad" : "";
    const chart = pictured(row);
    card.canvas.hidden = chart === null;
    if (chart !== null) draw(card.canvas, chart, "small", shown(row.custom_id, 120));
    else card.canvas.dataset.job = "";
  }
}

function inShort(row) {
  if (row.error && row.status === "failed") return row.error.message;
  if (row.answer && typeof row.answer === "object") {
    return Object.entries(row.answer).map(([name, value]) => `${name}: ${inWords(value)}`).join(" · ");
  }
  return row.text ?? "";
}
