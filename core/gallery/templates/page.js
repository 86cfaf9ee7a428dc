"use strict";
// One clip at a time, whichever way it was started.
document.addEventListener("play", event => { for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause(); }, true);

// Pictures that play their sound (.tile with data-wav); ".all" plays a row of them in order.
const player = new Audio();
let current = null, queue = [];
function stop() { player.pause(); if (current) { current.classList.remove("playing"); current.querySelector(".bar").style.width = "0"; } current = null; }
function start(tile) { stop(); current = tile; tile.classList.add("playing"); player.src = tile.dataset.wav; player.play().catch(() => current === tile && stop()); }
function next() { const tile = queue.shift(); if (tile) start(tile); else stop(); }
player.addEventListener("ended", next);
player.addEventListener("timeupdate", () => { if (current && player.duration) current.querySelector(".bar").style.width = 100 * player.currentTime / player.duration + "%"; });
document.addEventListener("click", event => {
  const tile = event.target.closest(".tile"), all = event.target.closest(".all");
  if (!tile && !all) return;
  const same = tile && tile === current;
  queue = all ? [...all.closest(".walk").querySelectorAll(".tile")] : [];
  if (all) next(); else if (same) stop(); else start(tile);
});

// Keys: what a page adds stands in `keys`, {key: what to do}; none of them acts while somebody types or holds Ctrl.
const keys = {
  "?": () => document.getElementById("keys").showModal(),
  "/": () => document.querySelector("input[type=search]")?.focus(),
  Escape: () => { queue = []; stop(); for (const other of document.querySelectorAll("audio")) other.pause(); },
};
document.addEventListener("keydown", event => {
  const target = event.target, typing = target.matches?.("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing) { if (event.key === "Escape") target.blur(); return; }
  const tile = target.closest?.(".tile"), step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (tile && step) {
    const tiles = [...tile.parentElement.querySelectorAll(":scope > .tile")], other = tiles[tiles.indexOf(tile) + step];
    if (other) { event.preventDefault(); queue = []; other.focus(); start(other); }
    return;
  }
  if (document.querySelector("dialog[open]") && event.key !== "Escape") return;
  if (keys[event.key] && keys[event.key](event) !== false && event.key !== "Escape") event.preventDefault();
});
document.addEventListener("click", event => {
  if (event.target.closest("dialog .close")) event.target.closest("dialog").close();
  if (event.target.closest("#show-keys")) keys["?"]();
});

// Tables: a column's title sorts by it, numbers as numbers, what is none of them last.
function number(text) {
  const found = text.replace(/[−–](?=\d)/g, "-").replace(/[,\s](?=\d{3}\b)/g, "").match(/[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
  return found ? Number(found[0]) : NaN;
}
function sortTable(table, column, descending) {
  const body = table.tBodies[0], value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const rows = [...body.rows], numbers = rows.every(row => !/\p{L}{3}/u.test(value(row))), empty = text => text === "" || text === "–";
  const compare = numbers
    ? (a, b) => number(a) - number(b)
    : (a, b) => a.localeCompare(b, undefined, { numeric: true });
  rows.sort((a, b) => {
    const [first, second] = [value(a), value(b)];
    if (empty(first) || empty(second)) return empty(first) - empty(second);
    return (descending ? -1 : 1) * compare(first, second);
  });
  body.append(...rows);
}
for (const table of document.querySelectorAll("table.sortable")) {
  if (!table.tHead || (table.tBodies[0]?.rows.length ?? 0) < 2) continue;
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button"; button.className = "sort"; button.title = "sort by this column"; button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const descending = cell.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortTable(table, column, descending);
    });
  });
}
// A box that scrolls sideways can be scrolled by keys too, once it can be reached by them.
function reachable() {
  for (const box of document.querySelectorAll(".scroll")) {
    box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1;
    box.setAttribute("role", "group"); box.setAttribute("aria-label", "table: " + (box.querySelector("th")?.textContent.trim() || "numbers"));
  }
}
reachable(); addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true);

// Animations stand still for who asked for less motion: their first picture takes their place.
if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
  for (const picture of document.querySelectorAll(".gifs img")) picture.addEventListener("load", () => {
    const still = document.createElement("canvas");
    still.width = picture.naturalWidth; still.height = picture.naturalHeight;
    still.getContext("2d").drawImage(picture, 0, 0);
    still.setAttribute("role", "img"); still.setAttribute("aria-label", picture.alt + " (still)");
    picture.replaceWith(still);
  }, { once: true });
}
