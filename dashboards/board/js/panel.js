/* The panel of one agency: its row in large, series with threshold and deadband, procedures, channels, alerts. */
import {$, M, S, choose, dm, el, hundredths, int, linkTo, name, now, num, ofPeriod, pc, phone, put, put2, shape, wall, when, words} from "./base.js";
import {clock} from "./header.js";
import {markTile, runbook} from "./side.js";
import {rows, signed} from "./table.js";

let plots = [], pn = null, opener = null, asked = 0, readAt = 0, stream = null;
export const useStream = s => { stream = s; };
export const setOpener = node => { opener = node; };
export const sheet = () => pn && pn.q;
const h3 = (a, b) => { const n = el("h3", "", a); if (b) n.append(el("span", "", b)); return n; };
const rung = window => ({zero: "zero", below5: "below5", below10: "below10", target: "target"}[window] || "nodata");

export function panel(focus) {
  const L = words(), P = $("#panel"), u = M.by[S.sel]; asked += 1; plots.forEach(p => p.destroy()); plots = []; P.textContent = ""; P.hidden = !u; pn = null;
  $("#side").inert = !!u; $("#rank").inert = $("#kpi").inert = phone.matches && !!u;
  for (const x of M.units) rows[x.code].tr.classList.toggle("sel", x === u); markTile(u ? u.code : "");
  if (!u) return;
  const hd = el("header"), tx = el("div"), h = el("h2", "", name(u)), x = el("button", "btn", "✕"); h.id = "p-name"; h.tabIndex = -1; x.type = "button"; x.setAttribute("aria-label", L.close); x.addEventListener("click", () => select(""));
  const sub = el("p", "", `${u.code} · ${L[u.block]}`); tx.append(h, sub); hd.append(tx, x);
  const box = el("div", "p-now"), n = el("p", "num"), nv = document.createTextNode(""), sm = el("small", "", "%"), dl = el("dl"); n.append(nv, sm); pn = {nv, sm, sub};
  for (const [k, key, title] of [[L.h.nd, "nd", ""], [L.delta, "dl", L.than[M.data.period.compared]], [L.rank, "rk", ""], [L.last, "le", ""]]) { const d = el("div"), dd = el("dd"); d.title = title; d.append(el("dt", "", k), dd); dl.append(d); pn[key] = dd; }
  box.append(n, dl); pn.say = el("div", "p-say"); pn.st = el("span", "st"); pn.w = el("p"); pn.say.append(pn.st, pn.w); pn.state = "";
  pn.q = el("p", "p-q"); pn.more = el("div"); P.append(hd, pn.q, box, pn.say, pn.more); panelLive(u); if (stream) clock(stream, pn.q);
  P.scrollTop = 0; if (focus) h.focus({preventScroll: true});
  details(u);
}
export function panelLive(u) {
  if (!pn) return; const L = words(), f = u.f, no = f.rate === null;
  put(pn.nv, no ? "—" : num(f.rate)); pn.sm.hidden = no; put2(pn.nd, no ? "—" : `${int(f.numerator)} / ${int(f.denominator)}`); put2(pn.dl, signed(f.change)); put2(pn.rk, f.rank === null ? "—" : `${f.rank}/${M.data.ranked}`); put2(pn.le, f.last_event === null ? "—" : when(f.last_event, now()));
  if (pn.state !== f.state) { pn.state = f.state; pn.say.className = "p-say " + f.state; pn.st.className = "st " + f.state; pn.st.textContent = ""; pn.st.append(shape(f.state), L.s[f.state]); }
  put2(pn.w, no ? L.nodataSay : f.state === "met" ? L.metSay(num(u.target)) : f.state === "above" ? L.aboveSay : (f.state === "zero" ? L.zeroSay(int(f.denominator)) : "") + (f.deficit === null ? "" : L.miss(int(f.deficit), num(f.goal))));
}
/** Once a second: details are read again every minute. */
export function panelTick() { if (pn && S.sel && performance.now() - readAt > 60000) details(M.by[S.sel]); }

async function details(u) {
  const mine = ++asked; readAt = performance.now(); let d;
  try { const r = await fetch(`/api/v1/agencies/${u.code}?` + new URLSearchParams(ofPeriod())); if (!r.ok) throw new Error(String(r.status)); d = await r.json(); }
  catch { if (mine === asked && pn && !pn.more.firstChild) pn.more.append(el("p", "figtext", words().failed)); return; }
  if (mine === asked && pn && S.sel === u.code) show(u, d);
}
function show(u, d) {
  const L = words(), box = pn.more; plots.forEach(p => p.destroy()); plots = []; box.textContent = "";
  const lim = d.limits, thr = lim.threshold;
  const pl1 = el("div", "plot"), pl2 = el("div", "plot"), text = el("p", "figtext"), vol = el("p", "figtext"); pl1.id = "plot-rate"; pl2.id = "plot-volume";
  for (const p of [pl1, pl2]) p.setAttribute("role", "img");
  const lv = d.series.rates.filter(v => v !== null), below = thr === null ? null : lv.filter(v => v < thr * 100).length;
  text.textContent = lv.length ? L.chartText(hundredths(Math.min(...lv)) + pc(), hundredths(Math.max(...lv)) + pc(), below) : L.chartNone;
  vol.textContent = L.volText(int(d.series.denominators.reduce((a, b) => a + b, 0)));
  pl1.setAttribute("aria-label", `${L.chart}. ${text.textContent}`); pl2.setAttribute("aria-label", `${L.vol}. ${vol.textContent}`);
  box.append(h3(L.chart, thr === null ? L.noLimit : L.chartN(num(String(thr)), num(String(lim.ends_above)))), pl1, text);
  if (lv.length) { box.append(h3(L.vol), pl2, vol); charts(d, pl1, pl2); } else pl1.hidden = true;
  box.append(h3(L.procs)); box.append(d.procedures.length ? table([L.proc, L.den, L.rate], d.procedures.map(p => [p.name || p.code, int(p.denominator), num(p.rate) + pc()]), true) : el("p", "figtext", L.noProcs));
  const c = d.channels; if (c.submitted) box.append(h3(L.channels), table([L.channel, L.den, L.share], [[L.online, int(c.online), num(c.online_rate) + pc()], [L.elsewhere, int(c.elsewhere), ""]], false));
  box.append(h3(L.hist)); history(box, d.alerts, L);
  const lk = el("p", "links"); const link = (t, href) => { const a = el("a", "", t); a.href = href; lk.append(a); };
  link(`${L.runbook}: ${d.figures && d.figures.rate === null ? "AgencySilent" : "AgencyRateLow"}`, runbook(d.figures && d.figures.rate === null ? "AgencySilent" : "AgencyRateLow")); link(L.toAgency, linkTo(u.code)); box.append(lk);
}
function table(head, lines, vietnamese) {
  const tb = el("table"), th = el("thead"), tr = el("tr"), bd = el("tbody"); head.forEach((t, i) => { const y = el("th", ["", "r w2", "r w1"][i], t); y.scope = "col"; tr.append(y); }); th.append(tr);
  for (const [a, b, c] of lines) { const r = el("tr"), n = el("th", "", a); n.scope = "row"; n.title = a; if (vietnamese) n.lang = "vi"; r.append(n, el("td", "r", b), el("td", "r", c)); bd.append(r); } tb.append(th, bd); return tb;
}
function history(box, A, L) {
  if (A.source !== "answers" || !A.spans.length) { box.append(el("p", "figtext", A.source === "not_connected" ? L.histOff : A.source === "silent" ? L.histSilent : L.nohist)); return; }
  const ul = el("ul", "hist"); for (const s of A.spans.slice(0, 6)) { const k = s.alert === "AgencySilent" ? "nodata" : rung(s.rung), li = el("li", k); li.append(shape(k), el("span", "", `${when(s.from, Date.now())} – ${s.to === null ? L.open : when(s.to, Date.now())}`), el("b", "", s.alert === "AgencyRateLow" ? L.s[k] : s.alert)); ul.append(li); } box.append(ul);
}
function charts(d, pl1, pl2) {
  const u = M.by[S.sel], css = getComputedStyle(document.documentElement), C = k => css.getPropertyValue("--" + k).trim(), rem = parseFloat(css.fontSize), P = $("#panel"), side = getComputedStyle(P);
  const thr = d.limits.threshold, end = d.limits.ends_above, xs = d.series.days.map(t => t / 1000), ys = d.series.rates.map(v => v === null ? null : v / 100), top = Math.max(...ys.filter(v => v !== null), (thr || 0) * 1.5);
  const W = P.clientWidth - parseFloat(side.paddingLeft) - parseFloat(side.paddingRight) + 2, font = `${.6875 * rem}px Inter, sans-serif`, yw = 2.8 * rem, px = rem / 16;
  const xr = {time: true, range: [xs[0] - 43200, xs[xs.length - 1] + 43200]}, ticks = xs.filter(t => /^(01|15)/.test(dm(t * 1000)));
  const ax = {stroke: C("ink3"), font, grid: {stroke: C("line"), width: 1}, ticks: {show: false}};
  const band = p => { if (thr === null) return; const c = p.ctx, y0 = p.valToPos(thr, "y", true), y1 = p.valToPos(end, "y", true), l = p.bbox.left, w = p.bbox.width; c.save(); c.fillStyle = C("warn-bg"); c.fillRect(l, y1, w, y0 - y1); c.strokeStyle = C("below5"); c.lineWidth = Math.max(1, px) * devicePixelRatio; c.setLineDash([4, 3].map(n => n * px * devicePixelRatio)); c.beginPath(); c.moveTo(l, y0); c.lineTo(l + w, y0); c.stroke(); c.restore(); };
  const over = p => { const c = p.ctx, r = px * devicePixelRatio; c.save(); c.fillStyle = C("below5"); for (const s of d.alerts.spans) { if (s.alert !== "AgencyRateLow") continue; const a = Math.max(p.bbox.left, p.valToPos(s.from / 1000, "x", true)), b = Math.min(p.bbox.left + p.bbox.width, p.valToPos((s.to || Date.now()) / 1000, "x", true)); if (b > a) c.fillRect(a, p.bbox.top, b - a, 3 * r); }
    let i = ys.length - 1; while (i >= 0 && ys[i] === null) i--; if (i >= 0) { c.fillStyle = C(["target", "above"].includes(u.f.state) ? "ink" : u.f.state); c.beginPath(); c.arc(p.valToPos(xs[i], "x", true), p.valToPos(ys[i], "y", true), 3 * r, 0, 7); c.fill(); } c.restore(); };
  const base = {width: W, legend: {show: false}, cursor: {sync: {key: "pp"}, points: {size: 5}, y: false, drag: {x: false, y: false}}, padding: [rem * .4, rem * .5, 0, 0]}, U = window.uPlot;
  plots.push(new U({...base, height: (wall.matches ? 13 : 7.5) * rem, scales: {x: xr, y: {range: [0, (top || 1) * 1.12]}}, axes: [{...ax, size: .3 * rem, splits: () => ticks, values: () => []}, {...ax, size: yw, values: (s, v) => v.map(t => num(String(+t.toFixed(2))) + pc()), space: 28 * px}], series: [{}, {stroke: C("ink"), width: 1.5 * px, points: {show: false}}], hooks: {drawAxes: [band], draw: [over]}}, [xs, ys], pl1));
  plots.push(new U({...base, height: (wall.matches ? 8 : 4.5) * rem, scales: {x: xr, y: {range: (p, a, b) => [0, Math.max(4, b * 1.1)]}}, axes: [{...ax, size: 1.3 * rem, gap: 3, splits: () => ticks, values: (s, v) => v.map(t => dm(t * 1000)), grid: {show: false}, space: 10}, {...ax, size: yw, values: (s, v) => v.map(t => Number.isInteger(t) ? int(t) : ""), space: 22 * px}], series: [{}, {fill: C("edge"), width: 0, paths: U.paths.bars({size: [.7]}), points: {show: false}}]}, [xs, d.series.denominators], pl2));
}
export function select(code, focus) {
  const was = S.sel; choose({sel: M.by[code] ? code : ""}); panel(focus !== false);
  if (!S.sel && was) { (opener && opener.isConnected ? opener : rows[was] ? rows[was].a : $("#q")).focus(); opener = null; }
}
