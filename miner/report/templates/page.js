"use strict";
const $ = (selector, inside = document) => inside.querySelector(selector);
const cards = [...document.querySelectorAll(".pair")], singles = [...document.querySelectorAll(".single")];
const filtered = cards.filter((card) => card.closest("[data-filtered]"));
const viewer = $("#viewer"), help = $("#help"), filters = $("#filters");
const shown = () => cards.filter((card) => !card.hidden);
const opener = (card) => $(".enlarge", card);

/* Filters: a band of similarity, a class, and whether the labels agree. */
function setUpFilters() {
  const similarities = filtered.map((card) => Number(card.dataset.similarity));
  const step = 0.001;
  const low = Math.floor(Math.min(...similarities) / step) * step, high = Math.ceil(Math.max(...similarities) / step) * step;
  const [least, most] = [$("#least"), $("#most")];
  for (const [slider, value] of [[least, low], [most, high]]) {
    Object.assign(slider, { min: low.toFixed(3), max: high.toFixed(3), step });
    slider.value = value.toFixed(3);
    slider.addEventListener("input", () => {
      if (Number(least.value) > Number(most.value)) slider.value = slider === least ? most.value : least.value;
      apply();
    });
  }
  const slices = $("#slices"), count = 5, width = (high - low) / count;
  for (let number = 0; number < count && width > step; number += 1) {
    const [from, to] = [low + number * width, low + (number + 1) * width].map((value) => value.toFixed(3));
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `${from} – ${to}` });
    button.dataset.from = from;
    button.dataset.to = to;
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") === "true";
      least.value = pressed ? low : from;
      most.value = pressed ? high : to;
      apply();
    });
    slices.append(button);
  }
  const label = $("#label"), agreement = $("#agreement");
  if (label) {
    const names = new Set(filtered.flatMap((card) => JSON.parse(card.dataset.classes)));
    for (const name of [...names].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))) label.append(new Option(name, name));
    for (const choice of [label, agreement]) choice.addEventListener("change", apply);
  }
  $("#order").addEventListener("change", order);
  filters.addEventListener("reset", () => requestAnimationFrame(() => {
    least.value = low;
    most.value = high;
    order();
    apply();
  }));
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.hidden = false;
  apply();
}

function apply() {
  const [least, most] = [$("#least"), $("#most")];
  const wanted = { least: Number(least.value), most: Number(most.value), label: $("#label")?.value, agreement: $("#agreement")?.value };
  for (const card of filtered) {
    const similarity = Number(card.dataset.similarity), slack = 5e-7;
    card.hidden = similarity < wanted.least - slack || similarity > wanted.most + slack ||
      Boolean(wanted.label && !JSON.parse(card.dataset.classes).includes(wanted.label)) ||
      Boolean(wanted.agreement && card.dataset.agreement !== wanted.agreement);
  }
  const range = Number(least.max) - Number(least.min) || 1;
  const track = $("#track").style;
  track.setProperty("--from", `${(100 * (wanted.least - least.min)) / range}%`);
  track.setProperty("--to", `${(100 * (wanted.most - least.min)) / range}%`);
  // Both thumbs at the upper end: the lower one has to be the one that can be grabbed.
  least.style.zIndex = wanted.least > (Number(least.min) + Number(least.max)) / 2 ? 2 : 1;
  $("#between").textContent = `${Number(least.value).toFixed(3)} to ${Number(most.value).toFixed(3)}`;
  for (const button of document.querySelectorAll("#slices button")) {
    const same = Math.abs(button.dataset.from - wanted.least) < 6e-4 && Math.abs(button.dataset.to - wanted.most) < 6e-4;
    button.setAttribute("aria-pressed", String(same));
  }
  for (const list of document.querySelectorAll("[data-filtered]")) {
    const inside = filtered.filter((card) => list.contains(card));
    const left = inside.filter((card) => !card.hidden).length;
    $(".count", list).textContent = left === inside.length ? "" : `${left} of these ${inside.length} pass the filters.`;
    $(".none", list).hidden = left > 0;
  }
}

/* Each gallery in the order that was chosen; the keys follow it. */
const listed = [...cards];
function order() {
  const chosen = $("#order").value, similarity = (card) => Number(card.dataset.similarity);
  const path = (card) => $("[data-path]", card)?.dataset.path ?? "";
  const compare = {
    rising: (one, other) => similarity(one) - similarity(other),
    falling: (one, other) => similarity(other) - similarity(one),
    path: (one, other) => path(one).localeCompare(path(other), undefined, { numeric: true }),
  }[chosen] ?? ((one, other) => listed.indexOf(one) - listed.indexOf(other));
  for (const list of document.querySelectorAll("[data-filtered] .gallery")) list.append(...[...list.children].sort(compare));
  cards.splice(0, cards.length, ...document.querySelectorAll(".pair"));
}

/* The viewer: one pair, large; the paths of its images, and their other partners. */
const partners = JSON.parse($("#partners").textContent), embeddingMap = $("#embedding-map"), mapCard = $("#map-card");
const thumbnails = new Map([...document.querySelectorAll("img[data-path]")].map((image) => [image.dataset.path, image]));
const element = (tag, more, ...inside) => {
  const made = Object.assign(document.createElement(tag), more);
  made.append(...inside);
  return made;
};

function named(image) {
  const path = image.dataset.path, [count, best] = partners[path] ?? [0, []];
  const copy = element("button", { type: "button", textContent: "Copy path", hidden: !navigator.clipboard });
  copy.addEventListener("click", () => navigator.clipboard.writeText(path).then(() => { copy.textContent = "Copied"; }));
  const more = element("button", { type: "button", textContent: count === 1 ? "Its only pair" : `All its ${count} pairs`, hidden: !count });
  if (best.length < count) more.textContent = `The ${best.length} most similar of its ${count} pairs`;
  more.addEventListener("click", () => {
    const list = $("#viewer-partners"), open = !list.hidden && list.dataset.of === path;
    list.hidden = open;
    list.dataset.of = path;
    list.replaceChildren(...best.map(([other, cosine, dot]) => element("li", {},
      pictureOf(other, dot), element("strong", { textContent: cosine.toFixed(3) }), ` ${other}`)));
  });
  return element("li", {}, element("span", { textContent: path }), " ", copy, " ", more);
}

function pictureOf(path, dot) {
  const image = thumbnails.get(path), tile = element("span", { className: "map-picture" });
  if (image) tile.append(element("img", { src: image.src, alt: "", className: "whole" }));
  else if (dot >= 0 && mapCard) tile.append(dotPicture($("img", mapCard).cloneNode(), dot));
  return tile;
}

/** An image of all pictures of the map, moved to that of one dot. */
function dotPicture(sprite, dot) {
  const columns = Number(embeddingMap.dataset.columns), side = 96;
  sprite.style.width = `${columns * side}px`;
  sprite.style.left = `${-(dot % columns) * side}px`;
  sprite.style.top = `${-Math.floor(dot / columns) * side}px`;
  return sprite;
}

let current = null;
function enlarge(card) {
  current = card;
  const pictures = $(".images", card).cloneNode(true);
  $("#viewer-images").replaceChildren(pictures);
  $("#viewer-caption").replaceChildren(...[...$("figcaption", card).cloneNode(true).childNodes]);
  $("#viewer-caption").className = $("figcaption", card).className;
  $("#viewer-names").replaceChildren(...[...pictures.querySelectorAll("img")].map(named));
  $("#viewer-partners").hidden = true;
  const all = shown();
  const single = singles.includes(card);
  $("#viewer-place").textContent = single ? "" : `${all.indexOf(card) + 1} of ${all.length}`;
  for (const button of ["#previous", "#next"]) $(button).hidden = single;
  if (!viewer.open) {
    viewer.showModal();
    $(single ? "#viewer .close" : "#next").focus();
  }
}

function move(by) {
  const all = shown();
  if (!all.length) return;
  if (viewer.open && singles.includes(current)) return;
  if (viewer.open) return enlarge(all[Math.min(Math.max(all.indexOf(current) + by, 0), all.length - 1)]);
  const here = all.indexOf(document.activeElement.closest?.(".pair"));
  const place = here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + by, 0), all.length - 1);
  focus(all[place]);
}

function moveRow(direction) {
  const here = document.activeElement.closest(".pair"), box = here.getBoundingClientRect();
  const beyond = shown().map((card) => [card, card.getBoundingClientRect()])
    .filter(([, other]) => (direction > 0 ? other.top > box.top + 4 : other.top < box.top - 4));
  if (!beyond.length) return;
  const next = direction > 0 ? Math.min(...beyond.map(([, other]) => other.top)) : Math.max(...beyond.map(([, other]) => other.top));
  const row = beyond.filter(([, other]) => Math.abs(other.top - next) < 4);
  focus(row.reduce((best, one) => (Math.abs(one[1].left - box.left) < Math.abs(best[1].left - box.left) ? one : best))[0]);
}

function focus(card) {
  opener(card).focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const key = event.key;
  if (key === "?") help.open ? help.close() : !viewer.open && help.showModal();
  else if (help.open) return;
  else if (key === "j" || key === "k") move(key === "j" ? 1 : -1);
  else if (viewer.open ? key.startsWith("Arrow") : key.startsWith("Arrow") && event.target.closest(".pair")) {
    if (key === "ArrowRight" || key === "ArrowLeft") move(key === "ArrowRight" ? 1 : -1);
    else if (!viewer.open) moveRow(key === "ArrowDown" ? 1 : -1);
  } else return;
  event.preventDefault();
});

for (const card of [...cards, ...singles]) opener(card).addEventListener("click", () => enlarge(card));
viewer.addEventListener("close", () => current && !current.hidden && focus(current));
for (const dialog of [viewer, help]) {
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  $(".close", dialog).addEventListener("click", () => dialog.close());
}
$("#previous").addEventListener("click", () => move(-1));
$("#next").addEventListener("click", () => move(1));
for (const button of document.querySelectorAll(".keys")) {
  button.hidden = false;
  button.addEventListener("click", () => help.showModal());
}
if (filtered.length > 1) setUpFilters();

/* The map: the picture and the name of the dot that is nearest to the pointer. */
if (mapCard) {
  const map = embeddingMap, places = JSON.parse(map.dataset.places), names = JSON.parse(map.dataset.names), sprite = $("img", mapCard);
  const show = (event) => {
    const box = $("svg", map).getBoundingClientRect(), unit = 700 / box.width;
    const x = (event.clientX - box.left) * unit, y = (event.clientY - box.top) * unit;
    let best = -1, least = 24 ** 2;
    for (let dot = 0; dot < names.length; dot += 1) {
      const distance = (places[2 * dot] - x) ** 2 + (places[2 * dot + 1] - y) ** 2;
      if (distance < least) [best, least] = [dot, distance];
    }
    mapCard.hidden = best < 0;
    if (best < 0) return;
    dotPicture(sprite, best);
    $("span", mapCard).textContent = names[best];
    const outer = map.getBoundingClientRect(), right = event.clientX - outer.left > outer.width / 2;
    mapCard.style.left = right ? "auto" : `${event.clientX - outer.left + 14}px`;
    mapCard.style.right = right ? `${outer.right - event.clientX + 14}px` : "auto";
    mapCard.style.top = `${event.clientY - outer.top + 10}px`;
  };
  map.addEventListener("pointermove", show);
  map.addEventListener("pointerdown", show);
  map.addEventListener("pointerleave", () => { mapCard.hidden = true; });
}
