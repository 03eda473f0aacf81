// Which page is shown, the theme, and the key.

import { learnRights, onKeyNeeded, onRights } from "./api.js";
import { batch } from "./batch.js";
import { batches } from "./batches.js";
import { tell } from "./dom.js";
import { lanes } from "./lanes.js";
import { submit } from "./submit.js";

const main = document.getElementById("main");
const root = document.documentElement;
root.classList.add("js");

const remembered = (() => { try { return localStorage.getItem("chartq-theme"); } catch { return null; } })();
if (remembered) root.dataset.theme = remembered;
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("chartq-theme", root.dataset.theme); } catch { /* no storage */ }
});

const dialog = document.getElementById("signin");
const field = document.getElementById("key");
onKeyNeeded((why) => new Promise((given) => {
  const said = document.getElementById("signin-error");
  said.textContent = why;
  said.hidden = !why;
  field.value = "";
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("form").onsubmit = () => {
    given(field.value.trim());
    field.value = "";
  };
}));
dialog.addEventListener("cancel", (event) => event.preventDefault());

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

let leave = () => {};
function route() {
  leave();
  tell("");
  const [, name, id] = location.hash.split("/");
  const pages = { batch, lanes, new: submit };
  const page = pages[name] ?? batches;
  main.replaceChildren();
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.getAttribute("href") === `#/${name && name !== "batch" ? name : ""}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leave = page(main, id ? decodeURIComponent(id) : "") ?? (() => {});
}
addEventListener("hashchange", route);
onRights(route);
learnRights().catch((error) => { route(); tell(error.message, true); });
