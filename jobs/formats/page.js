
"use strict";
(() => {
  // A row is a card in the page or, beyond the first ones, a line of HTML in an inert block: made a card when shown.
  const STEP = 200;
  const MARKED = 300;
  const list = document.getElementById("rows");
  const tools = document.getElementById("tools");
  const search = document.getElementById("q");
  const sorting = document.getElementById("sort");
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const workshop = document.createElement("template");
  const number = new Intl.NumberFormat("en");

  const unescaped = (text) => text
    .replace(/&(amp|lt|gt|quot|#x27|#10);/g, (_, name) =>
      ({ amp: "&", lt: "<", gt: ">", quot: '"', "#x27": "'", "#10": "\n" })[name]);

  class Row {
    constructor(card, line) {
      this.card = card;
      this.line = line;
      this.keys = card ? card.dataset : Row.keysOf(line);
    }

    static keysOf(line) {
      const keys = {};
      for (const [, name, value] of line.slice(0, line.indexOf(">")).matchAll(/ data-([a-z]+)="([^"]*)"/g)) {
        keys[name] = unescaped(value);
      }
      return keys;
    }

    get element() {
      if (!this.card) {
        workshop.innerHTML = this.line;
        this.card = workshop.content.firstElementChild;
        this.line = null;
      }
      return this.card;
    }

    // What is searched; worked out when somebody searches.
    get words() {
      this.text ??= folded(this.card ? this.card.textContent : unescaped(this.line.replace(/<[^>]*>/g, " ")));
      return this.text;
    }
  }

  const folded = (text) => text.normalize("NFKC").toLowerCase();
  const rows = [...list.querySelectorAll(":scope > .card")].map((card) => new Row(card, null));
  for (const block of document.querySelectorAll("script.rows")) {
    for (const line of block.textContent.split("\n")) if (line) rows.push(new Row(null, line));
    block.remove();
  }

  const names = new Intl.Collator("en", { numeric: true });
  const falling = (key) => (a, b) => Number(b.keys[key] ?? -1) - Number(a.keys[key] ?? -1);
  const rank = ["failed", "differ", "one", "none", "canceled", "started", "queued", "scheduled", "finished", "same"];
  const sorts = {
    n: null,
    name: (a, b) => names.compare(a.keys.name, b.keys.name),
    status: (a, b) => rank.indexOf(a.keys.status) - rank.indexOf(b.keys.status),
    seconds: falling("seconds"),
    tokens: falling("tokens"),
  };

  const state = { q: "", status: "", sort: "n" };
  let matches = rows;
  let shown = list.querySelectorAll(":scope > .card").length;

  function select() {
    const terms = folded(state.q).split(/\s+/).filter(Boolean);
    matches = rows.filter((row) => (!state.status || row.keys.status === state.status)
      && terms.every((term) => row.words.includes(term)));
    if (sorts[state.sort]) matches = matches.slice().sort(sorts[state.sort]);
    shown = 0;
    list.replaceChildren();
    show(STEP);
    if (!matches.length) {
      const none = document.createElement("p");
      none.className = "nothing";
      none.textContent = rows.length ? "No chart matches. Clear the search or choose All." : "This batch has no rows.";
      list.append(none);
    }
    tell();
  }

  function show(further) {
    const next = matches.slice(shown, shown + further);
    shown += next.length;
    list.append(...next.map((row) => row.element));
    more.hidden = shown >= matches.length;
    mark();
  }

  function tell() {
    count.textContent = matches.length === rows.length
      ? (rows.length === 1 ? "1 chart" : `${number.format(rows.length)} charts`)
      : `${number.format(matches.length)} of ${number.format(rows.length)}`;
  }

  // What was searched for is marked with ranges: the cards stay as they are.
  function mark() {
    if (!globalThis.CSS?.highlights) return;
    const terms = folded(state.q).split(/\s+/).filter(Boolean);
    const ranges = [];
    if (terms.length) {
      for (const card of [...list.children].slice(0, MARKED)) {
        const walker = document.createTreeWalker(card, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
          const node = walker.currentNode;
          const text = node.data.toLowerCase();
          if (text.length !== node.data.length) continue;
          for (const term of terms) {
            for (let at = text.indexOf(term); at >= 0; at = text.indexOf(term, at + term.length)) {
              const range = new Range();
              range.setStart(node, at);
              range.setEnd(node, at + term.length);
              ranges.push(range);
            }
          }
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  // The state is kept in the address, so that a view can be linked to and Back works.
  function remember() {
    const told = new URLSearchParams();
    if (state.q) told.set("q", state.q);
    if (state.status) told.set("status", state.status);
    if (state.sort !== "n") told.set("sort", state.sort);
    try {
      history.replaceState(null, "", told.size ? `#${told}` : location.pathname + location.search);
    } catch { /* some viewers forbid it */ }
  }

  function recall() {
    if (location.hash && !location.hash.includes("=")) return; // a link within the page
    const told = new URLSearchParams(location.hash.slice(1));
    const before = JSON.stringify(state);
    const radio = [...tools.elements.status].find((one) => one.value === (told.get("status") ?? ""));
    state.q = told.get("q") ?? "";
    state.status = radio ? radio.value : "";
    state.sort = told.get("sort") in sorts ? told.get("sort") : "n";
    search.value = state.q;
    sorting.value = state.sort;
    (radio ?? tools.elements.status[0]).checked = true;
    if (JSON.stringify(state) !== before) select();
  }

  let pause = 0;
  function changed() {
    state.q = search.value.trim();
    state.status = tools.elements.status.value;
    state.sort = sorting.value;
    remember();
    select();
  }
  search.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(changed, 90);
  });
  tools.addEventListener("change", (event) => { if (event.target !== search) changed(); });
  tools.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", recall);
  more.addEventListener("click", () => show(STEP));
  new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting) && !more.hidden) show(STEP); },
    { rootMargin: "1500px" }).observe(more);
  addEventListener("beforeprint", () => show(Infinity));

  list.addEventListener("click", (event) => {
    const fold = event.target.closest(".fold");
    if (!fold) return;
    const open = fold.previousElementSibling.classList.toggle("open");
    fold.setAttribute("aria-expanded", String(open));
    fold.textContent = open ? "Show less" : "Show all";
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.matches("input:not([type=radio]), select, textarea")) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && event.target === search && search.value) {
      search.value = "";
      changed();
    }
  });

  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("chartq-theme", root.dataset.theme); } catch { /* no storage: until the page is closed */ }
  });

  const tally = Map.groupBy ? Map.groupBy(rows, (row) => row.keys.status) : new Map();
  for (const label of tools.querySelectorAll("[data-filter]")) {
    const value = label.dataset.filter;
    const found = value ? tally.get(value)?.length ?? 0 : rows.length;
    label.querySelector("b").textContent = number.format(found);
    label.hidden = Boolean(value) && !found;
  }
  more.hidden = shown >= matches.length;
  tell();
  recall();
})();
