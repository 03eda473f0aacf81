// Elements and text. What a model, a user or a server said only ever becomes text.

const number = new Intl.NumberFormat("en");
const LONGEST = 20000;

/** A part of a picture that is drawn here. */
export function svg(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** el("a", { class: "x", href: "#/" , onclick: f }, "text", child): children that are strings are text. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Other children; whoever was at a button or link stays at the one in its place. */
export function redraw(parent, ...children) {
  const places = () => [...parent.querySelectorAll("a, button, select")];
  const at = places().indexOf(document.activeElement);
  parent.replaceChildren(...children);
  if (at >= 0) (places()[at] ?? places().at(-1))?.focus();
}

/** Text that moves nothing: controls and direction overrides are made visible, and a megabyte is cut. */
export function shown(text, longest = LONGEST) {
  const whole = String(text ?? "");
  const cut = whole.length > longest ? `${whole.slice(0, longest)} … (${count(whole.length - longest)} characters more)` : whole;
  return cut
    .replace(/[\u0000-\u0008\u000b-\u001f]/g, (one) => String.fromCharCode(0x2400 + one.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/g, "\ufffd");
}

/** A field's value for people: lists without their brackets. */
export function inWords(value) {
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(", ") || "–";
  return JSON.stringify(value);
}

export const count = (value) => number.format(value ?? 0);

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.round(seconds);
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${(s / 3600).toFixed(1)} h`;
  return `${Math.round(s / 86400)} days`;
}

const clock = new Intl.DateTimeFormat("en", { timeStyle: "medium", hourCycle: "h23" });
const day = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
export function when(iso) {
  if (!iso) return "–";
  const at = new Date(iso);
  return (at.toDateString() === new Date().toDateString() ? clock : day).format(at);
}

export const STATES = ["finished", "failed", "canceled", "started", "scheduled", "queued"];
export const pill = (state) => el("span", { class: `pill ${state}` }, state.replaceAll("_", " "));

/** The counts by state as a bar that is read out as words. */
export function bar(counts) {
  const label = STATES.filter((state) => counts[state]).map((state) => `${count(counts[state])} ${state}`).join(", ");
  const made = el("div", { class: "counts", role: "img", "aria-label": label || "no rows" });
  for (const state of STATES) {
    if (!counts[state]) continue;
    const part = el("span", { class: state });
    part.style.flexGrow = counts[state];
    made.append(part);
  }
  return made;
}

export const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));

export function tell(text, bad = false) {
  const place = document.getElementById("told");
  place.textContent = shown(text, 600);
  place.className = bad ? "error" : "banner";
  place.hidden = !text;
}
