/* Puts the parts together: stream, choices, keys. */
import {$, M, S, choose, el, heardNow, mergeChange, ofPeriod, put2, say, setSnapshot, words} from "./base.js";
import {buildFigures, clock, figures, closeDates, periodText, periods, pressRungs, quality} from "./header.js";
import {panel, panelLive, panelTick, select, setOpener, sheet, useStream} from "./panel.js";
import {alerts, buildPipeline, map, pipeline, tabs, tile} from "./side.js";
import {Stream} from "./stream.js";
import {buildHead, buildRows, go, layout, row, rows, shown} from "./table.js";

let told = "wait";
const stream = new Stream(ofPeriod, {snapshot, change, state});
useStream(stream);

function snapshot(data) {
  const again = M.data && JSON.stringify(Object.keys(data.units)) === JSON.stringify(Object.keys(M.data.units)) && JSON.stringify(M.data.period) === JSON.stringify(data.period);
  setSnapshot(data); heardNow(); document.documentElement.dataset.loaded = "yes";
  if (again) { refresh(M.units, true); layout(); if (S.sel) panelLive(M.by[S.sel]); } else everything();
  state();
}
function change(found) {
  const touched = mergeChange(found); heardNow(); if (document.hidden) { stale.hidden = true; return; }
  refresh(touched, false, found);
}
const stale = {hidden: false};   // changes that came while the page could not be seen
function refresh(touched, all, found) {
  let moved = false; const mark = touched.length <= 20;   // where everything changes a tint points at nothing, and costs
  for (const u of touched) { const was = rows[u.code].st; row(u, mark); tile(u); if (u.code === S.sel) panelLive(u); moved = moved || was !== rows[u.code].st; }
  if (moved) layout();
  figures(); pipeline(); if (all || found.period) put2($("#period"), periodText()); if (all || found.alerts || found.freshness || found.storage) alerts(stream);
  state();
}
/** Says what happened to the connection or the age of the figures, once. */
function state() {
  clock(stream, sheet()); const q = quality(stream);
  if (q !== told) { if (q === "off" || q === "stale") say($("#banner b").textContent); else if (told === "off" || told === "stale") say(words().live); told = q; if (M.data) alerts(stream, true); }
}
function everything() {
  const L = words(); document.documentElement.lang = S.lang; document.title = "portalpulse · " + L.title;
  for (const n of document.querySelectorAll("[data-t]")) put2(n, L[n.dataset.t]); for (const n of document.querySelectorAll("[data-t-label]")) n.setAttribute("aria-label", L[n.dataset.tLabel]);
  $("#q").placeholder = L.searchPh; for (const b of document.querySelectorAll("[data-lang]")) b.setAttribute("aria-pressed", b.dataset.lang === S.lang);
  paint(); periods(() => { put2($("#period"), L.wait); stream.restart(); }); filters(); tabs(); clock(stream, sheet());
  if (!M.data) { put2($("#period"), L.wait); return; }
  put2($("#period"), periodText()); $("#scenario").hidden = !M.data.clock.fixed;
  buildFigures(rung => { choose({rung: S.rung === rung ? "" : rung, view: "rank"}); tabs(); filters(); layout(); say($("#count").textContent); }); figures();
  buildHead(); buildRows(); alerts(stream, true); map(); buildPipeline(); pipeline(); layout(); panel(false); clock(stream, sheet());
}
function paint() { document.documentElement.dataset.theme = S.theme; const b = $("#theme"), L = words(); b.title = L.themeTo; b.setAttribute("aria-label", `${L.themeTo}: ${S.theme === "dark" ? L.light : L.dark}`); }
function filters() {
  const L = words(), b = $("#blocks"); b.textContent = "";
  for (const k of ["all", "ministry", "province"]) { const x = el("button", "", L[k]); x.type = "button"; x.setAttribute("aria-pressed", S.block === k); x.addEventListener("click", () => { choose({block: k}); filters(); if (M.data) layout(); say($("#count").textContent); $("#blocks button[aria-pressed=true]").focus(); }); b.append(x); }
  pressRungs();
}
function clearFilters() { choose({q: "", rung: "", block: "all"}); $("#q").value = ""; filters(); layout(); }

document.addEventListener("click", e => {
  if (e.ctrlKey || e.metaKey || e.shiftKey || !M.data) return;
  const a = e.target.closest("a[href*='sel=']"), tr = e.target.closest("#body tr");
  if (a) { e.preventDefault(); setOpener(a); select(new URLSearchParams(a.getAttribute("href")).get("sel")); }
  else if (tr && !String(getSelection())) { setOpener(rows[tr.dataset.c].a); select(tr.dataset.c); }
});
document.addEventListener("keydown", e => {
  if (!M.data || e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = /INPUT|SELECT/.test(e.target.tagName), q = $("#q");
  if (e.key === "/" && !typing) { e.preventDefault(); choose({view: "rank"}); tabs(); q.focus(); q.select(); }
  else if (e.key === "Escape") { if (closeDates()) return; if (e.target === q && S.q) { q.value = ""; choose({q: ""}); layout(); } else if (S.sel) select(""); else if (S.rung || S.block !== "all") { choose({rung: "", block: "all"}); filters(); layout(); } else if (e.target === q) q.blur(); }
  else if (e.target === q && e.key === "ArrowDown" && shown.length) { e.preventDefault(); go(shown[0].code); }
  else if (e.target.closest && e.target.closest("#body")) {
    const i = shown.findIndex(u => u.code === S.focus), n = {ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: shown.length - 1, PageDown: i + 12, PageUp: i - 12}[e.key]; if (n == null) return; e.preventDefault();
    if (e.key === "ArrowUp" && i === 0) { q.focus(); return; }
    const u = shown[Math.max(0, Math.min(shown.length - 1, n))]; go(u.code); if (S.sel) { setOpener(rows[u.code].a); select(u.code, false); }
  }
});
$("#body").addEventListener("focusin", e => { const tr = e.target.closest("tr"); if (tr) { if (rows[S.focus]) rows[S.focus].a.tabIndex = -1; S.focus = tr.dataset.c; rows[S.focus].a.tabIndex = 0; } });
$("#q").value = S.q; $("#q").addEventListener("input", e => { choose({q: e.target.value}); if (!M.data) return; layout(); say(shown.length ? $("#count").textContent : $("#empty .big").textContent); });
$("#clear").addEventListener("click", () => { clearFilters(); $("#q").focus(); });
$("#sort").addEventListener("change", e => { choose({sort: e.target.value, dir: ["nd", "def", "rate"].includes(e.target.value) ? "desc" : "asc"}); layout(); });
$("#theme").addEventListener("click", () => { choose({theme: S.theme === "dark" ? "light" : "dark"}); paint(); if (M.data) panel(false); });
for (const b of document.querySelectorAll("[data-lang]")) b.addEventListener("click", () => { choose({lang: b.dataset.lang}); everything(); });
$("#print").addEventListener("click", () => print()); $("#retry").addEventListener("click", () => stream.retry());
let resized; addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(() => { if (M.data) { buildHead(); buildRows(); layout(); panel(false); } }, 150); });
// A browser opens six connections to a host at most: pages that cannot be seen leave theirs to the others.
let asleep; document.addEventListener("visibilitychange", () => {
  clearTimeout(asleep);
  if (document.hidden) asleep = setTimeout(() => stream.sleep(), 20000); else stream.wake();
  if (!document.hidden && stale.hidden && M.data) { stale.hidden = false; refresh(M.units, true); layout(); }
});
setInterval(() => { stream.tick(); clock(stream, sheet()); panelTick(); }, 1000);
setInterval(() => { if (M.data && !document.hidden) alerts(stream, true); }, 30000);   // the ages of alerts
everything(); stream.open();
