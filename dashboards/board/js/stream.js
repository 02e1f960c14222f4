/* The connection: a snapshot, then changes. It reconnects by itself, goes on where it was, and says since when it is off. */
const QUIET_MS = 12000;   // an update comes every second; a connection that is quiet for so long is dead
const LONGEST_WAIT = 30;

export class Stream {
  /** ``on``: snapshot(data), change(data), state(). ``period``: a function that returns the parameters of the period. */
  constructor(period, on) { this.period = period; this.on = on; this.offSince = 0; this.tries = 0; this.wait = 0; this.id = ""; this.source = null; this.last = 0; this.asleep = false; }

  open() {
    this.close();
    const q = new URLSearchParams(this.period());
    if (this.id) q.set("last_event_id", this.id);
    const source = this.source = new EventSource("/api/v1/stream?" + q);
    this.last = performance.now();
    const heard = (kind, e) => {
      if (source !== this.source) return;
      this.last = performance.now(); this.id = e.lastEventId;
      const back = this.offSince > 0; this.offSince = 0; this.tries = 0;
      this.on[kind](JSON.parse(e.data));
      if (back) this.on.state();
    };
    source.addEventListener("snapshot", e => heard("snapshot", e));
    source.addEventListener("change", e => heard("change", e));
    source.addEventListener("error", () => { if (source === this.source) this.lost(); });
  }
  /** Another period: what was seen of this one does not help. */
  restart() { this.id = ""; this.open(); }
  close() { if (this.source) this.source.close(); this.source = null; }
  lost() {
    this.close();
    if (!this.offSince) this.offSince = Date.now();
    this.tries += 1; this.wait = Math.min(LONGEST_WAIT, this.tries * 2); this.on.state();
  }
  /** Once a second. */
  tick() {
    if (this.asleep) return;
    if (this.source && performance.now() - this.last > QUIET_MS) this.lost();
    if (!this.source && this.offSince) { this.wait -= 1; if (this.wait <= 0) this.open(); this.on.state(); }
  }
  /** Nobody looks: leave the connection to other pages. */
  sleep() { this.asleep = true; this.close(); }
  wake() { if (this.asleep) { this.asleep = false; this.open(); } }
  retry() { this.wait = 0; this.open(); this.on.state(); }
}
