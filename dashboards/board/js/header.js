/* Nation, blocks, the ladder of states, freshness, banner and clock. */
import {$, LADDER, M, S, age, choose, day, dmy, el, hms, int, local, now, num, pc, phone, put, put2, shape, when, words} from "./base.js";

const nodes = {};
/** ok, stale, off, empty or wait: can the figures be trusted? */
export function quality(stream) {
  if (stream.offSince) return "off";
  if (!M.data) return "wait";
  if (M.data.storage.unavailable_since || M.data.freshness.state === "stale") return "stale";
  return M.data.freshness.state === "empty" ? "empty" : "ok";
}
export const staleSince = () => M.data.storage.unavailable_since || M.data.freshness.since;

export function buildFigures(onRung) {
  const L = words();
  for (const box of document.querySelectorAll(".fig")) {
    const k = box.dataset.scope, d = k === "nation" ? M.data.nation : M.data.blocks[k]; box.textContent = "";
    const n = el("p", "num"), v = document.createTextNode(""), small = el("small", "", "%"), m = el("div", "meter"), f = el("i"), s = el("p", "sub"), st = document.createTextNode(""), s1 = el("span"), dot = el("i", "dot", " · ");
    n.append(v, small); m.setAttribute("aria-hidden", "true"); m.append(f);
    if (d.target) { const b = el("b"); b.style.left = d.target + "%"; m.append(b); }
    const goal = el("span", "goal"); s1.append(st); s.append(s1); if (d.target) s.append(dot, goal); else s.title = L.noGoal;
    box.append(el("h2", "", L[k]), n, m, s); nodes[k] = {v, f, st, small, goal, met: ""};
  }
  const r = $("#rungs"), stack = $("#stack"); r.textContent = stack.textContent = "";
  for (const s of LADDER) {
    const b = el("button", "rung " + s), top = el("b"), c = document.createTextNode(""), i = el("i", s); b.type = "button"; b.dataset.rung = s;
    top.append(shape(s), c); b.append(top, el("span", "", L.s[s])); b.addEventListener("click", () => onRung(s)); r.append(b);
    stack.append(i); nodes["r" + s] = {c, i, b};
  }
}
export function pressRungs() { for (const s of LADDER) if (nodes["r" + s]) nodes["r" + s].b.setAttribute("aria-pressed", S.rung === s); }
export function figures() {
  const L = words(), D = M.data;
  for (const k of ["nation", "ministry", "province"]) {
    const d = k === "nation" ? D.nation : D.blocks[k], o = nodes[k];
    put(o.v, d.rate === null ? "—" : num(d.rate)); o.small.hidden = d.rate === null; put(o.st, `${int(d.numerator)} / ${int(d.denominator)}`);
    const met = String(d.met) + S.lang; if (d.target && o.met !== met) { o.met = met; o.goal.textContent = ""; if (d.met !== null) o.goal.append(shape(d.met ? "met" : "target")); o.goal.append(`${d.met === null ? L.goal : d.met ? L.goalMet : L.goalMissed} ${num(d.target)}${pc()}`); o.goal.className = "goal " + (d.met === null ? "" : d.met ? "met" : "target"); }
    o.f.style.transform = `scaleX(${d.denominator ? (d.numerator / d.denominator).toFixed(4) : 0})`;
  }
  for (const s of LADDER) {
    const o = nodes["r" + s], n = D.states[s]; put(o.c, String(n)); o.i.style.flexGrow = n; o.i.style.display = n ? "" : "none";
    o.b.hidden = !n && S.rung !== s && (s === "above" ? D.blocks.ministry.target !== null : (s === "target" || s === "met") && D.blocks.ministry.target === null);
  }
  const low = D.states.zero + D.states.below5, [number, rest] = L.ladder(low, M.units.length, D.states.nodata), head = $("#ladder-h");
  if (head.textContent !== number + rest) { head.textContent = ""; head.append(el("b", low ? "below5" : "", number), rest); }
}
export function periodText() { const p = M.data.period; return words().span[p.name](p.name === "any" ? day(p.first) : day(p.first).slice(0, 5), day(p.last)); }
export function periods(onChange) {
  const L = words(), box = $("#periods"); box.textContent = ""; document.documentElement.dataset.period = S.period;
  const chose = changes => { choose(changes); periods(onChange); onChange(); $("#periods button[aria-pressed=true]").focus(); };
  for (const k of ["24h", "month", "ytd", "any"]) {
    const b = el("button", "", phone.matches && L.pPhone[k] || L.p[k]); b.type = "button"; b.setAttribute("aria-pressed", S.period === k); box.append(b);
    if (k !== "any") { b.addEventListener("click", () => chose({period: k, from: "", to: ""})); continue; }
    b.id = "choose"; b.setAttribute("aria-expanded", "false"); b.setAttribute("aria-controls", "dates");
    b.addEventListener("click", () => { if (!closeDates()) openDates(); });
  }
  closeDates();
  $("#dates").onsubmit = e => { e.preventDefault(); const from = $("#from").value, to = $("#to").value; if (order()) chose({period: "any", from, to}); };
  for (const k of ["from", "to"]) $("#" + k).oninput = () => $("#to").setCustomValidity("");
}
/** Whether the chosen days are in order; says so at the second one where they are not. */
function order() { const to = $("#to"), ok = $("#from").value <= to.value; to.setCustomValidity(ok ? "" : words().order); if (!ok) to.reportValidity(); return ok; }
function openDates() {
  const p = M.data && M.data.period; $("#from").value = S.from || (p ? p.first : ""); $("#to").value = S.to || (p ? p.last : ""); $("#to").setCustomValidity("");
  $("#dates").hidden = false; $("#choose").setAttribute("aria-expanded", "true"); $("#from").focus();
}
/** Closes the form of the days; returns whether it was open. */
export function closeDates() {
  const form = $("#dates"), was = !form.hidden, inside = form.contains(document.activeElement); form.hidden = true; $("#choose").setAttribute("aria-expanded", "false");
  if (was && inside) $("#choose").focus(); return was;
}
/** What changes by the second: clock, age, banner. */
export function clock(stream, sheet) {
  const L = words(), q = quality(stream), t = now(), B = $("#banner");
  document.body.className = "q-" + q;
  put2($("#clock"), hms(t)); const d = local(t); put2($("#date"), `${L.wd[d.getUTCDay()]} ${dmy(t)}`);
  put2($("#conn span"), q === "off" ? L.off : q === "stale" ? L.old : q === "empty" ? L.none0 : q === "wait" ? L.wait : L.live);
  $("#conn").dataset.q = q;
  let head = "", more = "";
  if (q === "off") { head = L.offB(hms(stream.offSince)); more = L.offMore(stream.tries, Math.ceil(stream.wait)); }
  else if (q === "stale") { head = L.stale(when(staleSince(), t)); more = M.data.storage.unavailable_since ? L.storageMore : M.data.freshness.reason === "behind" ? L.behindMore : L.quietMore(age(t - M.data.freshness.newest_event)); }
  B.hidden = !head; B.className = "banner " + q; $("#retry").hidden = q !== "off"; put2($("b", B), head); put2($("span", B), more);
  if (sheet) put2(sheet, head ? head + (q === "off" ? "" : " · " + more) : "");   // the sheet covers the banner on a phone
  if (!M.data) return;
  const newest = M.data.freshness.newest_event;
  put2($("#fresh .num"), q === "off" || newest === null ? "—" : age(t - newest)); put2($("#fresh .sub"), newest === null ? L.never : `${L.at} ${when(newest, t)}`);
}
