/* The page's choices (in its address), its data, and small tools. Text is written into text nodes only: it cannot become markup. */
import {LANGUAGES, T} from "./words.js";

export const $ = (selector, root) => (root || document).querySelector(selector);
export const el = (tag, cls, text) => { const n = document.createElement(tag); if (cls) n.className = cls; if (text != null) n.textContent = text; return n; };
export const svg = (tag, at) => { const n = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const k in at) n.setAttribute(k, at[k]); return n; };
export const shape = state => { const n = svg("svg", {class: "sh", "aria-hidden": "true"}); n.append(svg("use", {href: "#s-" + state})); return n; };
export const put = (node, text) => { if (node.data !== text) node.data = text; };
export const put2 = (node, text) => { if (node.textContent !== text) node.textContent = text; };
export const wall = matchMedia("(min-width:2560px) and (min-height:1400px)");
export const phone = matchMedia("(max-width:640px)");

const query = new URLSearchParams(location.search);
const store = {get: k => { try { return localStorage.getItem(k); } catch { return null; } }, set: (k, v) => { try { localStorage.setItem(k, v); } catch { /* private mode */ } }};
const one = (name, allowed, other) => allowed.includes(query.get(name)) ? query.get(name) : other;
export const LADDER = ["zero", "below5", "below10", "target", "above", "met", "nodata"];
export const ORDER = ["nodata", "zero", "below5", "below10", "target", "above", "met"];
export const SORTS = ["rank", "name", "code", "rate", "st", "def", "nd", "dl"];
const DEFAULTS = {block: "all", rung: "", q: "", sort: "st", dir: "asc", sel: "", period: "ytd", from: "", to: "", view: "rank"};
const FIRST_DAY = "1976-01-01", LAST_DAY = "2106-02-06";   // the days that can be counted
const isDay = text => /^\d{4}-\d\d-\d\d$/.test(text || "") && text >= FIRST_DAY && text <= LAST_DAY && !isNaN(Date.parse(text)) && new Date(text).toISOString().startsWith(text);
const chosen = query.get("period") === "any" && isDay(query.get("from")) && isDay(query.get("to")) && query.get("from") <= query.get("to");
/** What the reader chose; ``choose`` also writes it into the address, so that it can be shared. */
export const S = {
  block: one("block", ["ministry", "province"], "all"), rung: one("rung", LADDER, ""), q: query.get("q") || "",
  sort: one("sort", SORTS, "st"), dir: one("dir", ["desc"], "asc"), sel: query.get("sel") || "", period: chosen ? "any" : one("period", ["24h", "month"], "ytd"), from: chosen ? query.get("from") : "", to: chosen ? query.get("to") : "",
  view: one("view", ["alerts", "map", "pipe"], "rank"), focus: "",
  lang: one("lang", LANGUAGES, LANGUAGES.includes(store.get("pp-lang")) ? store.get("pp-lang") : "vi"),
  theme: one("theme", ["light", "dark"], store.get("pp-theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")),
};
export function choose(changes) {
  Object.assign(S, changes);
  for (const k of ["lang", "theme"]) if (k in changes) store.set("pp-" + k, S[k]);
  const q = new URLSearchParams();
  for (const k in DEFAULTS) if (S[k] !== DEFAULTS[k]) q.set(k, S[k]);
  for (const k of ["lang", "theme"]) if (query.has(k)) q.set(k, S[k]);
  history.replaceState(null, "", q.size ? "?" + q : location.pathname);
}
/** The period as parameters of a request. */
export const ofPeriod = () => S.period === "any" ? {period: S.period, from: S.from, to: S.to} : {period: S.period};
/** The address of this page with an agency open. */
export const linkTo = code => { const q = new URLSearchParams(location.search); q.set("sel", code); return "?" + q; };

/** The words of the chosen language. */
export const words = () => T[S.lang];

/* ---------- data: the snapshot with every change merged into it ---------- */
export const M = {data: null, units: [], by: {}};
export function setSnapshot(data) {
  M.data = data;
  M.units = Object.keys(data.units).sort().map(code => {
    const u = data.units[code];
    return {code, vi: u.name_vi, en: u.name_en, short: u.short_name_vi, block: u.block, target: u.target,
      key: bare(`${u.name_vi} ${u.name_en} ${u.short_name_vi} ${code}`) + (code === "H29" ? " hcm tphcm sai gon" : ""), f: data.agencies[code]};
  });
  M.by = Object.fromEntries(M.units.map(u => [u.code, u]));
}
const merge = (into, changes) => { for (const k in changes) { const v = changes[k]; if (v && typeof v === "object" && !Array.isArray(v) && into[k] && typeof into[k] === "object") merge(into[k], v); else into[k] = v; } };
/** Merges a change; returns the agencies whose figures it touches. */
export function mergeChange(change) {
  merge(M.data, change);
  return Object.keys(change.agencies || {}).map(code => M.by[code]).filter(Boolean);
}
export const bare = s => s.normalize("NFD").replace(/[\u0300-\u036f]/g, "").replace(/đ/g, "d").replace(/Đ/g, "D").toLowerCase();

/* ---------- numbers and times; figures arrive cut and are only written in the notation of the language ---------- */
const marks = () => S.lang === "vi" ? [".", ","] : [",", "."];
export const int = n => String(n).replace(/\B(?=(\d{3})+$)/g, marks()[0]);
export const num = text => { const [whole, part] = text.replace("-", "\u2212").split("."); return whole.replace(/\B(?=(\d{3})+$)/g, marks()[0]) + (part ? marks()[1] + part : ""); };
export const hundredths = n => num(`${Math.floor(n / 100)}.${String(n % 100).padStart(2, "0")}`);
export const pc = () => S.lang === "vi" ? "\u00a0%" : "%";
export const shortName = u => wall.matches && S.lang === "vi" && u.short && u.vi.length > 24 ? u.short : name(u);   // what fits a column of the wall
export const name = u => S.lang === "en" ? u.en : u.vi;
const two = n => String(n).padStart(2, "0");
export const local = ms => new Date(ms + 7 * 3600e3);
export const hms = ms => { const d = local(ms); return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`; };
export const dm = ms => { const d = local(ms); return `${two(d.getUTCDate())}/${two(d.getUTCMonth() + 1)}`; };
export const dmy = ms => `${dm(ms)}/${local(ms).getUTCFullYear()}`;
export const when = (ms, now) => dmy(ms) === dmy(now) ? hms(ms) : `${hms(ms).slice(0, 5)} ${dm(ms)}`;
export const day = iso => iso.split("-").reverse().join("/");
export const age = ms => { const L = words(), s = Math.max(0, Math.round(ms / 1000)); return s < 100 ? L.sec(s) : s < 5400 ? L.min(Math.floor(s / 60)) : s < 172800 ? L.hour(Math.floor(s / 3600)) : L.day(Math.floor(s / 86400)); };

/* ---------- the clock of the server, which a scenario may have stopped ---------- */
let heard = 0;
export const heardNow = () => { heard = performance.now(); };
export const now = () => !M.data ? Date.now() : M.data.clock.fixed ? M.data.clock.at : M.data.clock.at + (performance.now() - heard);

let said;
export function say(text) { clearTimeout(said); said = setTimeout(() => put2($("#live"), text), 400); }
