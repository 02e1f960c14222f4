/* The ranking: keyed rows in which only changed text nodes are written. */
import {$, M, ORDER, S, bare, choose, el, hms, int, linkTo, name, now, num, pc, put, put2, shape, shortName, svg, wall, words} from "./base.js";
import {periodText, pressRungs} from "./header.js";

const COLS = [["rank", "r"], ["name", ""], ["code", ""], ["rate", "r"], ["bar", ""], ["st", ""], ["def", "r"], ["nd", "r"], ["dl", "r"], ["sp", ""]];
const SORTABLE = new Set(["rank", "name", "code", "rate", "st", "def", "nd", "dl"]);
const BIG_FIRST = new Set(["nd", "def", "rate"]);
export const rows = {};
export let shown = [];
const collator = new Intl.Collator("vi");

export function sparkline() { const s = svg("svg", {class: "spark", viewBox: "0 0 68 18", preserveAspectRatio: "none", "aria-hidden": "true"}), l = svg("line", {x1: 0, x2: 68}), p = svg("path", {}), c = svg("circle", {r: 1.75, cx: 66}); s.append(l, p, c); return {s, l, p, c}; }
/** Values may be null (a gap). ``limit`` is drawn where it is in sight; the drawing is never less than 4 points high. */
export function drawSpark(o, v, limit, least = 4) {
  const there = v.filter(y => y !== null), n = v.length;
  if (!there.length) { o.p.setAttribute("d", ""); o.d = ""; o.c.style.display = o.l.style.display = "none"; return; }
  let lo = Math.min(...there), hi = Math.max(...there); const pad = Math.max(0, least - (hi - lo)) / 2; lo -= pad; hi += pad; if (lo < 0) { hi -= lo; lo = 0; }
  const y = t => 16 - (t - lo) / (hi - lo) * 14; let d = "", pen = false;
  v.forEach((t, i) => { if (t === null) { pen = false; return; } d += (pen ? "L" : "M") + (i * 66 / Math.max(1, n - 1)).toFixed(1) + " " + y(t).toFixed(1); pen = true; });
  if (o.d === d) return; o.d = d; o.p.setAttribute("d", d);
  const end = v[n - 1]; o.c.style.display = end === null ? "none" : ""; if (end !== null) o.c.setAttribute("cy", y(end).toFixed(1));
  const inSight = limit != null && limit >= lo && limit <= hi; o.l.style.display = inSight ? "" : "none"; if (inSight) { o.l.setAttribute("y1", y(limit)); o.l.setAttribute("y2", y(limit)); }
}
const label = k => wall.matches && words().hWall[k] || words().h[k];
export function buildHead() {
  const L = words(), h = $("#head"), e = $("#echo"), so = $("#sort"); h.textContent = e.textContent = so.textContent = "";
  for (const [k, cls] of COLS) {
    const th = el("th", "c-" + k + " " + cls), ec = el("span", "c-" + k + " " + cls); th.scope = "col"; th.setAttribute("role", "columnheader"); th.dataset.k = k;
    if (k === "bar") { for (const box of [th, ec]) { const sc = el("span", "scale"); for (const t of [0, 50, 100]) { const i = el("i", "", String(t)); i.style.left = t + "%"; sc.append(i); } sc.setAttribute("aria-hidden", "true"); box.append(sc); } th.append(el("span", "vh", L.rate + " 0–100")); }
    else if (SORTABLE.has(k)) {
      const b = el("button", "", label(k)), ar = el("span", "ar"); b.type = "button"; ar.setAttribute("aria-hidden", "true"); b.append(ar); if (k === "dl") b.title = L.than[M.data.period.compared];
      b.addEventListener("click", () => { choose(S.sort === k ? {dir: S.dir === "asc" ? "desc" : "asc"} : {sort: k, dir: BIG_FIRST.has(k) ? "desc" : "asc"}); layout(); });
      th.append(b); ec.textContent = label(k); const o = el("option", "", L.h[k]); o.value = k; so.append(o);
    } else { th.textContent = ec.textContent = label(k); th.title = L.sparkHint; }
    h.append(th); e.append(ec);
  }
}
export function buildRows() {
  const body = $("#body"); body.textContent = ""; for (const k in rows) delete rows[k];
  body.style.setProperty("--half", Math.ceil(M.units.length / 2));
  for (const u of M.units) {
    const tr = el("tr"); tr.setAttribute("role", "row"); tr.dataset.c = u.code; const c = {}, t = {};
    for (const [k, cls] of COLS) { const td = el(k === "name" ? "th" : "td", "c-" + k + " " + cls); if (k === "name") { td.scope = "row"; td.setAttribute("role", "rowheader"); } else td.setAttribute("role", "cell"); c[k] = td; tr.append(td); }
    const a = el("a", "", shortName(u)); if (shortName(u) !== name(u)) a.setAttribute("aria-label", `${shortName(u)}, ${name(u)}`); a.href = linkTo(u.code); a.tabIndex = -1; a.title = name(u); if (S.lang === "en" && u.block === "province") a.lang = "vi"; c.name.append(a);
    for (const k of ["rank", "rate", "dl"]) { t[k] = document.createTextNode(""); c[k].append(t[k]); }
    c.code.textContent = u.code; t.pc = el("small", "", "%"); c.rate.append(t.pc);
    const rb = el("div", "rb"), f = el("i"), b5 = el("b"); rb.setAttribute("aria-hidden", "true"); b5.style.left = "5%"; rb.append(f, b5);
    if (u.target) { const tg = el("b", "tg"); tg.style.left = u.target + "%"; rb.append(tg); } c.bar.append(rb);
    t.n = document.createTextNode(""); t.d = document.createTextNode(""); const sl = el("span"); sl.append(t.d); c.nd.append(t.n, sl);
    t.dn = el("b"); t.dt = el("span"); c.def.append(t.dn, t.dt); const sp = sparkline(); c.sp.append(sp.s);
    rows[u.code] = {tr, a, c, t, f, sp, st: ""}; body.append(tr); row(u);
  }
}
export const signed = text => text === null ? "—" : num(text);
export function row(u, live) {
  const L = words(), r = rows[u.code], t = r.t, f = u.f, no = f.rate === null, txt = no ? "—" : num(f.rate);
  put(t.rank, f.rank === null ? "—" : String(f.rank));
  if (t.rate.data !== txt) { t.rate.data = txt; if (live) { r.c.rate.classList.remove("upd"); requestAnimationFrame(() => r.c.rate.classList.add("upd")); } }
  t.pc.hidden = no; put(t.n, no ? "—" : int(f.numerator)); put(t.d, no ? "" : " / " + int(f.denominator)); put(t.dl, signed(f.change)); r.c.dl.classList.toggle("dn2", f.change !== null && Number(f.change) <= -2);
  r.f.style.transform = no ? "scaleX(0)" : `scaleX(${(f.numerator / f.denominator).toFixed(4)})`;
  put2(t.dn, f.deficit ? int(f.deficit) : ""); put2(t.dt, f.deficit ? `→ ${num(f.goal)}${pc()}` : "");
  const key = f.state + S.lang; if (r.st !== key) { r.st = key; r.tr.className = f.state + (r.tr.classList.contains("sel") ? " sel" : ""); r.c.st.textContent = ""; const s = el("span", "st " + f.state); s.append(shape(f.state), L.sShort[f.state] || L.s[f.state]); r.c.st.append(s); }
  if (r.line !== f.sparkline) { r.line = f.sparkline; drawSpark(r.sp, f.sparkline.map(v => v === null ? null : v / 100), 5); }
}
const value = {rank: u => u.f.rank, name: u => u.vi, code: u => u.code, rate: u => -u.f.rank, st: u => ORDER.indexOf(u.f.state), def: u => u.f.deficit || 0, nd: u => u.f.denominator, dl: u => u.f.change === null ? null : Number(u.f.change)};
const EMPTY_LAST = new Set(["rank", "rate", "def", "nd", "dl"]);
export function layout() {
  const L = words(), q = bare(S.q.trim()), sg = S.dir === "asc" ? 1 : -1, v = value[S.sort];
  shown = M.units.filter(u => (S.block === "all" || u.block === S.block) && (!S.rung || u.f.state === S.rung) && (!q || u.key.includes(q)));
  shown.sort((a, b) => {
    const x = v(a), y = v(b), na = EMPTY_LAST.has(S.sort) && (a.f.rank === null || x === null), nb = EMPTY_LAST.has(S.sort) && (b.f.rank === null || y === null); if (na !== nb) return na ? 1 : -1;
    return (na ? 0 : (typeof x === "string" ? collator.compare(x, y) : x - y) * sg) || (b.f.rank || 0) - (a.f.rank || 0) || b.f.denominator - a.f.denominator || (a.code < b.code ? -1 : 1);
  });
  const body = $("#body"), keep = new Set(shown.map(u => u.code)); let i = 0;
  for (const u of shown) { const tr = rows[u.code].tr; if (body.children[i] !== tr) body.insertBefore(tr, body.children[i] || null); tr.hidden = false; tr.classList.toggle("first", S.sort === "st" && i > 0 && shown[i - 1].f.state !== u.f.state); i++; }
  for (const u of M.units) if (!keep.has(u.code)) rows[u.code].tr.hidden = true;
  for (const th of $("#head").children) { const on = th.dataset.k === S.sort; if (on) th.setAttribute("aria-sort", S.dir === "asc" ? "ascending" : "descending"); else th.removeAttribute("aria-sort"); const ar = $(".ar", th); if (ar) ar.textContent = on ? S.dir === "asc" ? "↑" : "↓" : ""; }
  put2($("#worst"), S.sort === "st" && S.dir === "asc" ? L.worst : "");
  $("#sort").value = S.sort; put2($("#count"), L.rows(shown.length, M.units.length));
  $("#table").hidden = !shown.length; $("#empty").hidden = !!shown.length; $("#echo").style.visibility = shown.length > Math.ceil(M.units.length / 2) ? "" : "hidden";
  if (!shown.length) { put2($("#empty .big"), S.q ? L.none(S.q) : L.noneF); put2($("#empty p:not(.big)"), L.noneHint); }
  put2($("#cap"), L.cap(periodText() + (M.data.clock.fixed ? ". " + L.scenario : ""), hms(now()), S.sort === "st" && S.dir === "asc" ? L.sorted : L.h[S.sort] + (S.dir === "asc" ? " ↑" : " ↓")));
  if (!keep.has(S.focus)) S.focus = shown.length ? shown[0].code : ""; for (const u of M.units) rows[u.code].a.tabIndex = u.code === S.focus ? 0 : -1;
  pressRungs();
}
export function go(code) { if (rows[S.focus]) rows[S.focus].a.tabIndex = -1; S.focus = code; const a = rows[code].a; a.tabIndex = 0; a.focus({preventScroll: true}); rows[code].tr.scrollIntoView({block: "nearest"}); }
