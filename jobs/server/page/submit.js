// Ask about charts: drop pictures or a folder, see the plan, confirm.

import { request } from "./api.js";
import { range } from "./cost.js";
import { count, duration, el, fact, shown, tell } from "./dom.js";

const PICTURE = /\.(png|jpe?g|webp|gif|bmp|tiff?|avif|heic|heif)$/i;

async function filesOf(entry, path = "") {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => { entry.file(done, failed); });
    return [{ file, name: path + file.name }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, failed) => { reader.readEntries(done, failed); });
    if (!some.length) return found;
    for (const one of some) found.push(...await filesOf(one, `${path}${entry.name}/`));
  }
}

/** So many of them, spread over all. */
function sample(all, many) {
  if (!many || many >= all.length) return all;
  return Array.from({ length: many }, (_, index) => all[Math.floor(index * all.length / many)]);
}

/** What asking would take: the server knows the pictures by their hashes, none is sent. Raises where a browser has no SHA-256. */
async function planOf(asked, words) {
  const sha256 = [];
  for (const { file } of asked) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
    sha256.push([...digest].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  const { schema } = words;
  const body = { ...words, sha256, ...(schema && schema !== "chart" ? { schema: JSON.parse(schema) } : {}) };
  return (await request("batches/plan", { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } })).json();
}

function rejected(some) {
  const first = some.slice(0, 5).map(({ path, error }) => `${path}: ${error}`).join("; ");
  return `${count(some.length)} rejected: ${first}${some.length > 5 ? " …" : ""}`;
}

function ahead(planned) {
  const facts = [fact("answered already", count(planned.cached)), fact("calls", count(planned.calls))];
  if (planned.tokens) facts.push(fact("tokens", `about ${count(planned.tokens.prompt_tokens + planned.tokens.completion_tokens)}`));
  if (planned.price_usd) facts.push(fact("cost", range(planned.price_usd.least, planned.price_usd.most)));
  if (planned.eta_s) facts.push(fact("takes", duration(planned.eta_s)));
  return facts;
}

export function submit(main) {
  document.title = "Ask about charts – chartq";
  let chosen = [];
  const picker = (attributes) => el("input", { type: "file", multiple: true, class: "hidden", ...attributes, onchange: (event) => {
    add([...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
    event.target.value = "";
  } });
  const files = picker({ id: "files", accept: "image/*" });
  const folder = picker({ id: "folder", webkitdirectory: true });
  const dropped = el("p", { class: "soft", role: "status" }, "Drop pictures or a folder here, or");
  const drop = el("div", { id: "drop" }, dropped,
    el("label", { class: "button" }, files, "Choose pictures"), el("label", { class: "button" }, folder, "Choose a folder"));
  const field = (name, label, input) => [el("label", { for: name }, label), input];
  const prompt = el("textarea", { id: "prompt", rows: "3", required: true, placeholder: "Is the trend up or down? Answer with one word." });
  const name = el("input", { id: "name", maxlength: "500", placeholder: "optional" });
  const model = el("input", { id: "model", placeholder: "the server's default", spellcheck: "false" });
  const schema = el("textarea", { id: "schema", rows: "2", spellcheck: "false", placeholder: "optional: chart, or a JSON schema" });
  const many = el("input", { id: "sample", type: "number", min: "1", placeholder: "all" });
  const plan = el("section", { id: "plan", "aria-live": "polite" });
  const form = el("form", { class: "ask" }, drop, ...field("prompt", "Question", prompt), ...field("name", "Name", name),
    ...field("model", "Model", model), ...field("schema", "Schema of the answer", schema), ...field("sample", "Only a sample of", many),
    el("button", { type: "submit", class: "primary" }, "Show the plan"), plan);
  main.append(el("h1", {}, "Ask about charts"), form);

  function add(more) {
    const pictures = more.filter(({ name: one }) => PICTURE.test(one));
    chosen = [...chosen, ...pictures].sort((a, b) => (a.name < b.name ? -1 : 1));
    dropped.textContent = `${count(chosen.length)} pictures${pictures.length < more.length ? ` (${count(more.length - pictures.length)} other files left out)` : ""}`;
    plan.replaceChildren();
  }

  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    try { add((await Promise.all(entries.map((entry) => filesOf(entry)))).flat()); } catch (error) { tell(error.message, true); }
  });

  const words = () => Object.fromEntries([prompt, name, model, schema]
    .map((input) => [input.id, input.value.trim()]).filter(([, said]) => said));
  let turn = 0;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!chosen.length) { tell("Choose pictures first.", true); return; }
    tell("");
    const asked = sample(chosen, Number(many.value));
    const bytes = asked.reduce((sum, { file }) => sum + file.size, 0);
    const go = el("button", { type: "button", class: "primary", id: "confirm" }, `Ask about ${count(asked.length)}`);
    go.addEventListener("click", () => send(asked, go));
    const asks = el("span", {}, shown(model.value || "the server's default", 100));
    const facts = el("dl", { class: "facts" },
      fact("charts", asked.length < chosen.length ? `${count(asked.length)} of ${count(chosen.length)}` : count(asked.length)),
      fact("to upload", `${(bytes / 1e6).toFixed(1)} MB`), fact("model", asks));
    const soft = el("p", { class: "soft" }, "Looking for what was answered already …");
    plan.replaceChildren(el("h2", {}, "The plan"), facts, el("blockquote", {}, shown(prompt.value, 2000)), soft, go);
    go.focus();
    turn += 1;
    const mine = turn;
    try {
      const planned = await planOf(asked, words());
      if (mine !== turn) return;
      asks.textContent = shown(planned.model, 100);
      facts.append(...ahead(planned));
      soft.textContent = planned.cached ? "What was answered already is not asked again." : "None of them was answered before.";
    } catch (error) {
      if (mine !== turn) return;
      facts.append(fact("calls", `at most ${count(asked.length)}`));
      soft.textContent = "What was answered already is not asked again.";
      if (error.status) tell(error.message, true);
    }
  });
  form.addEventListener("input", () => { turn += 1; plan.replaceChildren(); });

  async function send(asked, go) {
    go.disabled = true;
    const label = go.textContent;
    go.textContent = "Sending …";
    const body = new FormData();
    for (const [field_, said] of Object.entries(words())) body.append(field_, said);
    for (const one of asked) body.append("files", one.file, one.name);
    try {
      const made = await (await request("batches", { method: "POST", body })).json();
      location.hash = `#/batch/${encodeURIComponent(made.batch_id)}`;
      if (made.rejected.length) setTimeout(() => tell(rejected(made.rejected), true), 100);
    } catch (error) {
      tell(error.message, true);
      go.disabled = false;
      go.textContent = label;
    }
  }
}
