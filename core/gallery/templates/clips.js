// The list of clips. Only what is in view is in the document; sounds and pictures are loaded when they are.
const told = window.synthloomClips, $ = id => document.getElementById(id), NONE = "–";
const clips = told.rows.map((row, place) => {
  const [id, label, kind, source, size, round, caption, seconds, rate, scores, reason, own, parents, settings, folder, suffix, pictured] = row;
  return {
    place, id, label: told.labels[label], kind: told.kinds[kind], source: told.sources[source], size: told.sizes[size], round, caption, seconds, rate, scores, reason,
    own, parents, settings: told.settings[settings], folder: told.folders[folder], audio: suffix && `assets/${id}.${suffix}`, picture: pictured ? `assets/${id}.png` : "",
  };
});
const byId = new Map(), children = new Map();
for (const clip of clips) {
  if (!byId.has(clip.id)) byId.set(clip.id, clip);
  for (const parent of clip.parents.slice(0, 1)) children.set(parent, [...(children.get(parent) ?? []), clip]);
}

function make(tag, values = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(values)) if (name in element && name !== "role") element[name] = value; else element.setAttribute(name, value);
  element.append(...inside.filter(part => part !== "" && part !== null && part !== undefined));
  return element;
}
const spoken = clip => [clip.label, clip.kind, clip.source].filter(Boolean).join(", ");
const scored = clip => told.scores.map((name, i) => clip.scores[i] === null || clip.scores[i] === undefined ? "" : `${name.replace(/^clap_/, "").replace(/_/g, " ")} ${Number(clip.scores[i].toPrecision(3))}`).filter(Boolean);

// Pictures: the ready one; from a server drawn here, two at a time; else a word about it.
const drawnPictures = new Map(), waiting = [];
let drawing = 0;
function pictureOf(clip) {
  const box = make("span", { className: "picture" });
  if (clip.picture) box.append(make("img", { src: clip.picture, alt: `spectrogram of ${spoken(clip)}`, loading: "lazy", decoding: "async" }));
  else if (!location.protocol.startsWith("http") || !clip.audio) box.append(make("span", {}, clip.audio ? "drawn when this page comes from a server: ./run.sh up" : "no sound"));
  else { waiting.push([clip, box]); setTimeout(drawWaiting); }
  return box;
}
async function drawWaiting() {
  if (drawing >= 2) return;
  const [clip, box] = waiting.pop() ?? [];
  if (!clip) return;
  drawing++;
  try {
    if (box.isConnected) {
      if (!drawnPictures.has(clip.id)) drawnPictures.set(clip.id, await spectrogram(clip.audio, clip.rate));
      const canvas = make("canvas", { role: "img", "aria-label": `spectrogram of ${spoken(clip)}` });
      paint(canvas, drawnPictures.get(clip.id));
      box.replaceChildren(canvas);
      if (drawnPictures.size > 400) drawnPictures.delete(drawnPictures.keys().next().value);
    }
  } catch { box.replaceChildren(make("span", {}, "could not be drawn")); } finally { drawing--; drawWaiting(); }
}
const soundOf = clip => clip.audio ? make("audio", { controls: true, preload: "none", src: clip.audio, "aria-label": `${spoken(clip)}, ${clip.id}` }) : make("p", {}, "no sound");

// Filters.
const filters = [...document.querySelectorAll("select[data-of]")];
for (const select of filters) {
  const values = [...new Set(clips.map(clip => String(clip[select.dataset.of])))];
  const order = { label: (a, b) => a.localeCompare(b), round: (a, b) => a - b, size: (a, b) => a - b }[select.dataset.of];
  if (order) values.sort(order);
  select.append(make("option", { value: "" }, "all"), ...values.map(value => make("option", { value: "=" + value }, select.dataset.of === "round" ? String(Number(value) + 1) : value || "gold")));
  select.parentElement.hidden = values.length < 2;
}
$("by-score").append(...told.scores.map((name, i) => make("option", { value: i }, name.replace(/^clap_/, "CLAP ").replace(/_/g, " "))));
if (!told.scores.length) for (const id of ["by-score", "score-from", "score-to"]) $(id).parentElement.hidden = true;
const words = clip => clip.words ??= [clip.caption, clip.id, clip.label, clip.source, clip.reason, clip.own.source_path ?? "", ...clip.parents].join(" ").toLowerCase();
function chosen() {
  const wanted = filters.filter(select => select.value).map(select => [select.dataset.of, select.value.slice(1)]);
  const asked = $("search").value.toLowerCase().split(/\s+/).filter(Boolean), score = Number($("by-score").value || 0);
  const [from, to] = ["score-from", "score-to"].map(id => $(id).value === "" ? null : Number($(id).value));
  const found = clips.filter(clip => wanted.every(([name, value]) => String(clip[name]) === value)
    && (from === null || (clip.scores[score] ?? -Infinity) >= from) && (to === null || (clip.scores[score] ?? Infinity) <= to)
    && asked.every(word => words(clip).includes(word)));
  const sign = { up: 1, down: -1 }[$("order").value];
  if (sign) found.sort((a, b) => (a.scores[score] == null) - (b.scores[score] == null) || sign * (a.scores[score] - b.scores[score]) || a.place - b.place);
  if ($("order").value === "longest") found.sort((a, b) => b.seconds - a.seconds || a.place - b.place);
  return found;
}

// The list: cards of one size at computed places.
const box = $("clips"), space = $("clips-space"), cards = new Map();
let shown = [], columns = 1, width = 0, height = 0, at = 0;
function measure() {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize), gap = .7 * rem;
  columns = Math.max(1, Math.floor((space.clientWidth + gap) / (15 * rem + gap)));
  width = (space.clientWidth + gap) / columns; height = 18.4 * rem;
  space.style.height = Math.ceil(shown.length / columns) * height + "px";
  for (const [place, card] of cards) position(card, place);
}
function position(card, place) {
  card.style.cssText = `left:${(place % columns) * width}px;top:${Math.floor(place / columns) * height}px;width:${width - 11}px;height:${height - 11}px`;
}
function card(place) {
  const clip = shown[place], detail = [...scored(clip), clip.round ? `round ${clip.round + 1}` : "", clip.reason].filter(Boolean).join(" · ");
  const made = make("article", {
    className: `clip ${clip.kind}`, role: "listitem", tabIndex: place === at ? 0 : -1, "aria-label": spoken(clip),
    "aria-posinset": place + 1, "aria-setsize": shown.length, "data-id": clip.id,
  }, pictureOf(clip), soundOf(clip),
  make("p", { className: "one", title: spoken(clip) }, make("span", { className: "tag" }, clip.label), ` · ${clip.kind}${clip.source ? " · " + clip.source : ""}`),
  make("p", { title: clip.caption }, clip.caption || NONE), make("p", { className: "soft", title: detail }, detail || NONE),
  make("button", { type: "button", className: "plain origin", "aria-label": `where ${spoken(clip)}, ${clip.id}, comes from` }, "where it comes from"));
  position(made, place);
  return made;
}
function draw() {
  const first = Math.max(0, Math.floor(box.scrollTop / height) - 1) * columns;
  const last = Math.min(shown.length, (Math.ceil((box.scrollTop + box.clientHeight) / height) + 1) * columns);
  for (const [place, element] of cards) {
    const busy = element.contains(document.activeElement) || element.querySelector("audio")?.paused === false;
    if ((place < first || place >= last) && !busy) { element.remove(); cards.delete(place); }
  }
  let after = null;
  for (let place = last - 1; place >= first; place--) {
    if (!cards.has(place)) { cards.set(place, card(place)); space.insertBefore(cards.get(place), after); }
    after = cards.get(place);
  }
}
function show() {
  shown = chosen(); at = 0;
  for (const element of cards.values()) element.remove();
  cards.clear(); box.scrollTop = 0;
  measure(); draw();
  $("shown").textContent = `${shown.length} of ${clips.length} clips`;
}
let asked = 0;
box.addEventListener("scroll", () => { asked ||= requestAnimationFrame(() => { asked = 0; draw(); }); });
new ResizeObserver(() => { measure(); draw(); }).observe(box);
for (const element of document.querySelectorAll(".filters select, .filters input")) element.addEventListener("input", show);
$("clear").addEventListener("click", () => { for (const element of document.querySelectorAll(".filters select, .filters input")) element.value = element.id === "by-score" ? "0" : ""; show(); });

// Keys in the list: one card has the focus, and is drawn wherever it is.
function go(place) {
  if (!shown.length) return false;
  const to = Math.min(shown.length - 1, Math.max(0, place)), top = Math.floor(to / columns) * height;
  if (cards.has(at)) cards.get(at).tabIndex = -1;
  at = to;
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + height > box.scrollTop + box.clientHeight) box.scrollTop = top + height - box.clientHeight;
  draw();
  cards.get(at).tabIndex = 0; cards.get(at).focus({ preventScroll: true });
  box.scrollIntoView({ block: "nearest" });
}
const inList = event => event.target === document.body || (box.contains(event.target) && event.target.tagName !== "AUDIO");
const listed = event => box.contains(event.target);
keys.j = event => go(listed(event) ? at + 1 : at); keys.k = event => go(listed(event) ? at - 1 : at);
for (const [key, step] of Object.entries({ ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: () => columns, ArrowUp: () => -columns, Home: () => -at, End: () => shown.length }))
  keys[key] = event => listed(event) && inList(event) ? go(at + step()) : false;
keys[" "] = event => {
  if (!event.target.classList?.contains("clip")) return false;
  const sound = event.target.querySelector("audio");
  if (sound) { if (sound.paused) sound.play(); else sound.pause(); }
};
keys.Enter = event => event.target.classList?.contains("clip") ? tell(event.target.dataset.id) : false;
box.addEventListener("focusin", event => { const card = event.target.closest(".clip"); for (const [place, element] of cards) if (element === card) at = place; });
box.addEventListener("click", event => { if (event.target.closest(".origin")) tell(event.target.closest(".clip").dataset.id); });

// Where a clip comes from: a dialog that has an address of its own, #clip=ID.
const dialog = $("lineage");
function tell(id) { location.hash = "clip=" + encodeURIComponent(id); }
function addressed() {
  const id = new URLSearchParams(location.hash.slice(1)).get("clip");
  if (!id) { dialog.close(); return; }
  const clip = byId.get(id);
  $("lineage-title").textContent = clip ? `${clip.label}, ${clip.kind}${clip.source ? ", " + clip.source : ""}` : "No such clip";
  $("lineage-steps").replaceChildren(...(clip ? steps(clip) : [make("li", { className: "step" }, make("p", {}, `No clip ${id} is listed on this page.`))]));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}
addEventListener("hashchange", addressed);
dialog.addEventListener("close", () => {
  for (const sound of dialog.querySelectorAll("audio")) sound.pause();
  if (location.hash.startsWith("#clip=")) history.replaceState(null, "", location.pathname + location.search);
  if (cards.has(at)) cards.get(at).focus({ preventScroll: true });
});
const step = (title, ...inside) => make("li", { className: "step" }, make("h3", {}, title), ...inside);
const listOf = values => make("dl", { className: "pairs" }, ...Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined)
  .flatMap(([name, value]) => [make("dt", {}, name.replace(/_/g, " ")), make("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))]));
const linkTo = (id, text) => byId.has(id) ? make("a", { href: "#clip=" + encodeURIComponent(id) }, text) : make("span", {}, text);
const heard = clip => make("div", { className: "sound" }, pictureOf(clip), soundOf(clip));
function steps(clip) {
  const gold = clip.parents.map(id => byId.get(id)).filter(Boolean), missing = clip.parents.filter(id => !byId.has(id)), made = [];
  gold.forEach((parent, i) => made.push(step(i ? "Second gold clip, whose sound was mixed in" : "Gold clip", heard(parent),
    make("p", {}, linkTo(parent.id, `${parent.label} · ${parent.id}`)), listOf(parent.own))));
  if (missing.length) made.push(step("Parents", make("p", {}, `not listed on this page: ${missing.join(", ")}`)));
  if (clip.caption) {
    const before = clip.own.revised_from, old = byId.get(before);
    made.push(step("Caption", make("p", {}, make("b", {}, clip.caption)), before ? make("p", {}, "revised after ", linkTo(before, before), old ? ` was rejected: “${old.caption}”, ${old.reason}` : " was rejected") : ""));
  }
  const { revised_from, ...own } = clip.own;
  if (clip.kind !== "gold") made.push(step("Made by " + clip.folder.stage, listOf({ ...own, ...clip.settings, round: clip.round + 1 })));
  if (clip.kind !== "gold") made.push(step("Verdict: " + clip.kind, listOf({ ...Object.fromEntries(told.scores.map((name, i) => [name, clip.scores[i]])), reason: clip.reason })));
  made.push(step("The clip", heard(clip), listOf({ clip: clip.id, class: clip.label, seconds: clip.seconds, sample_rate: `${clip.rate} Hz`, ...(clip.kind === "gold" ? own : {}), listed_in: clip.folder.listed })));
  made.push(...beside(clip), again(clip));
  return made;
}
const EACH = 3;
function beside(clip) {
  const gold = clip.kind === "gold" ? clip.id : clip.parents[0], found = (children.get(gold) ?? []).filter(other => other !== clip), parts = [];
  for (const source of new Set(found.map(other => other.source))) {
    const own = found.filter(other => other.source === source);
    parts.push(...own.slice(0, EACH).map(other => make("div", {}, make("p", {}, make("b", {}, source), ` · ${other.kind}`), pictureOf(other), soundOf(other), make("p", {}, linkTo(other.id, other.caption || other.id)), make("p", { className: "soft" }, scored(other).slice(0, 2).join(" · ")))));
    if (own.length > EACH) parts.push(make("p", {}, `${own.length - EACH} more of ${source}`));
  }
  if (!parts.length) return [];
  const family = clips.filter(other => other.id === gold || other.parents.includes(gold)).length;
  const all = make("button", { type: "button", className: "plain" }, `list all ${family} that it lent its sound or caption to`);
  all.addEventListener("click", () => { $("clear").click(); $("search").value = gold; show(); dialog.close(); });
  return [step("Beside it: the same gold clip in every arm", make("div", { className: "twins" }, ...parts), make("p", {}, all))];
}
function again(clip) {
  const inside = [make("p", {}, "The whole study, from the repository:"), make("pre", {}, told.command)];
  if (clip.folder.by_hand) inside.push(make("p", {}, `Only the step that made it, ${clip.folder.made}; with the same bytes on the same kind of device; it writes into ${clip.folder.again} below the data root, on a GPU add --device cuda:`), make("pre", {}, clip.folder.by_hand));
  return step("Make it again", ...inside);
}
show(); addressed();
