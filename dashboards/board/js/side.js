/* Beside the table: open alerts, the map of tiles, and the strip of the pipeline. */
import {$, LADDER, M, S, age, choose, el, int, linkTo, name, now, num, pc, put2, shape, shortName, when, words} from "./base.js";
import {quality} from "./header.js";
import {drawSpark, sparkline} from "./table.js";

const SEVERITY = ["critical", "warning", "info"];
const BY_SEVERITY = {critical: "below5", warning: "below10"};
export const runbook = alert => `/runbook/${S.lang}#${alert}`;
let drawn = "";
/** ``again``: also when nothing changed but the time. */
export function alerts(stream, again) {
  const L = words(), A = M.data.alerts, key = JSON.stringify([A, S.lang, quality(stream), M.units.length]);
  if (!again && key === drawn) return; drawn = key;
  const ul = $("#alerts"), h = $("#al-h"), focused = ul.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  ul.textContent = h.textContent = ""; h.append(L.alerts);
  const known = A.source === "answers" || A.source === "silent", open = A.open.filter(a => !a.muted && a.severity !== "none"), t = now();
  if (known) { const n = s => open.filter(a => a.severity === s).length; h.append(" ", el("span", "", L.alertsN(n("critical"), n("warning"), n("info")))); }
  const held = $("#held"), text = A.source === "silent" ? L.silentSource(when(A.since, Date.now())) : quality(stream) === "stale" ? L.held : "";
  held.hidden = !text; put2(held, text);
  if (A.source === "not_connected" || A.source === "waiting") { ul.append(el("li", "say", A.source === "waiting" ? L.waiting : L.notConnected)); return; }
  if (!open.length) ul.append(el("li", "say", L.noAlerts));
  open.sort((a, b) => rank(a) - rank(b) || b.since - a.since || (a.agency < b.agency ? -1 : 1));
  for (const a of open) ul.append(line(a, L, t));
  const muted = A.open.filter(a => a.muted).length; if (muted) ul.append(el("li", "say", L.muted(muted)));
  if (focused) { const again = [...ul.querySelectorAll("a")].find(a => a.getAttribute("href") === focused); if (again) again.focus({preventScroll: true}); }
}
const rank = a => { const i = SEVERITY.indexOf(a.severity); return (i < 0 ? SEVERITY.length : i) + (a.agency ? 0.5 : 0); };
function line(a, L, t) {
  const u = M.by[a.agency], rung = a.labels.rung, cls = a.alert === "AgencySilent" ? "nodata" : LADDER.includes(rung) ? rung : BY_SEVERITY[a.severity] || "target";
  const li = el("li", cls), main = el(u ? "a" : "span", "what"), said = a.text[S.lang === "vi" ? "summary" : "summary_en"] || a.text.summary || a.alert;
  if (u) main.href = linkTo(u.code);
  const w = a.labels.window;
  const n = el("span", "n", u ? shortName(u) : said); n.title = u ? `${name(u)}: ${said}` : said;
  main.append(shape(cls), n, el("span", "v", u ? (L.s[cls] || said) + (w ? ` · ${L.win[w] || w}` : "") : L.whole));
  const ago = el("span", "w", age(Date.now() - a.since)), b = el("a", "book", L.book); b.href = runbook(a.alert); b.setAttribute("aria-label", L.bookOf(a.alert)); b.title = a.alert;
  li.append(main, ago, b); return li;
}

/* ---------- map ---------- */
const tiles = {}, isles = {};
export function map() {
  const L = words(), box = $("#tiles"), h = $("#map-h"), places = M.data.map.tiles; box.textContent = h.textContent = ""; for (const k in tiles) delete tiles[k]; for (const k in isles) delete isles[k];
  const widest = Math.max(...Object.values(places).map(p => p[0])), provinces = M.units.filter(u => places[u.code]);
  h.append(L.mapH + " ", el("span", "", L.mapN(provinces.length)));
  for (const u of provinces) { const a = el("a", "tile"); a.href = linkTo(u.code); a.dataset.c = u.code; a.style.gridColumn = places[u.code][0] + 1; a.style.gridRow = places[u.code][1] + 1; a.append(shape(u.f.state), el("span", "", u.code)); box.append(a); tiles[u.code] = {a, st: ""}; tile(u); }
  for (const isle of M.data.map.islands) { const u = M.by[isle.code]; if (!u || !places[isle.code]) continue; const p = el("span", "isle " + u.f.state); isles[isle.code] = p; p.append(shape(u.f.state), isle.name); p.lang = "vi"; p.style.gridColumn = `${widest + 2} / span 3`; p.style.gridRow = places[isle.code][1] + 1; box.append(p); }
  const lg = el("ul", "legend"); for (const s of LADDER) if (M.data.states[s]) { const li = el("li", s); li.append(shape(s), L.s[s]); lg.append(li); } box.append(lg);
}
export function tile(u) {
  const o = tiles[u.code], L = words(); if (!o) return; const v = u.f.rate === null ? "" : `, ${num(u.f.rate)}${pc()}`, k = u.f.state + v + S.lang; if (o.st === k) return; o.st = k;
  if (o.state !== u.f.state) { o.state = u.f.state; o.a.className = "tile " + u.f.state + (S.sel === u.code ? " on" : ""); $("use", o.a).setAttribute("href", "#s-" + u.f.state); }
  const s = `${u.code} ${name(u)}: ${L.s[u.f.state]}${v}`; o.a.title = s; o.a.setAttribute("aria-label", s);
  if (isles[u.code]) { isles[u.code].className = "isle " + u.f.state; $("use", isles[u.code]).setAttribute("href", "#s-" + u.f.state); }
}
export function markTile(code) { for (const k in tiles) tiles[k].a.classList.toggle("on", k === code); }

/* ---------- pipeline ---------- */
const parts = {}, history = [];
export function buildPipeline() {
  const L = words(), p = $("#pipe"); p.textContent = ""; p.append(el("h2", "", L.pipeline)); const dl = el("dl");
  for (const k of ["eps", "delay", "lag", "dlq", "drift"]) { const d = el("div"), dd = el("dd"); d.append(el("dt", "", L[k]), dd); dl.append(d); parts[k] = dd; if (k === "eps") { const holder = el("dd", "spark-cell"); parts.spark = sparkline(); holder.setAttribute("aria-hidden", "true"); holder.append(parts.spark.s); d.append(holder); } }
  const nav = el("nav", "docs"); nav.setAttribute("aria-label", L.links);
  for (const [text, href] of [[L.book, `/runbook/${S.lang}`], [L.report, `/report?lang=${S.lang}`], [L.defs, `/definitions/${S.lang}`]]) { const a = el("a", "", text); a.href = href; nav.append(a); }
  p.append(dl, nav);
}
export function pipeline() {
  const L = words(), P = M.data.pipeline, old = M.data.freshness.state === "stale" || M.data.storage.unavailable_since !== null;
  put2(parts.eps, P.events_per_second === null ? L.unknown : int(Math.round(P.events_per_second))); put2(parts.delay, `${num(P.delay_seconds.toFixed(1))} s`);
  put2(parts.lag, int(P.waiting + (P.consumer_lag || 0))); put2(parts.dlq, int(P.dead_letters)); put2(parts.drift, P.drift === null ? L.unknown : int(P.drift));
  if (P.events_per_second !== null) history.push(P.events_per_second); if (history.length > 60) history.shift();
  drawSpark(parts.spark, history, null);
  parts.eps.parentNode.classList.toggle("bad", old); parts.delay.parentNode.classList.toggle("bad", P.delay_seconds > 60); parts.drift.parentNode.classList.toggle("bad", P.drift > 0);
}
export function tabs() {
  const L = words(), n = $("#tabs"); n.textContent = ""; document.documentElement.dataset.view = S.view;
  for (const k of ["rank", "alerts", "map", "pipe"]) { const b = el("button", "", L.v[k]); b.type = "button"; b.setAttribute("aria-pressed", S.view === k); b.addEventListener("click", () => { choose({view: k}); tabs(); scrollTo(0, 0); $("#tabs button[aria-pressed=true]").focus(); }); n.append(b); }
}
