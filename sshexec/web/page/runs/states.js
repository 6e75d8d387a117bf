// The words for how hosts and runs stand, and how they look.

const HOST_STATES = {
  ok: { label: "ok", tone: "good" },
  changed: { label: "changed", tone: "warn" },
  failed: { label: "failed", tone: "bad" },
  unreachable: { label: "unreachable", tone: "bad" },
  timeout: { label: "timed out", tone: "bad" },
  cancelled: { label: "cancelled", tone: "" },
  skipped: { label: "skipped", tone: "" },
  unknown: { label: "unknown", tone: "bad" },
  running: { label: "at work", tone: "info" },
  pending: { label: "waiting", tone: "" },
};

const RUN_STATES = {
  running: { label: "Running", tone: "info" },
  finished: { label: "Finished", tone: "good" },
  cancelled: { label: "Cancelled", tone: "" },
  timeout: { label: "Timed out", tone: "bad" },
  died: { label: "Broken off", tone: "bad" },
};

/** Which answers are to be read first. */
export const ORDER = ["failed", "unreachable", "timeout", "unknown", "cancelled", "changed", "ok", "skipped", "running", "pending"];

const BAD = ["failed", "unreachable", "timeout", "unknown"];

export function hostState(name) {
  return HOST_STATES[name] ?? HOST_STATES.running;
}

/** How a run stands as a whole: one that is over is only well if all of its hosts are. */
export function runState(run) {
  if (run.state === "running" && run.cancelling) return { label: "Being cancelled", tone: "warn" };
  if (run.state !== "finished") return RUN_STATES[run.state] ?? RUN_STATES.died;
  const bad = BAD.reduce((sum, name) => sum + (run.counts[name] ?? 0), 0);
  if (!bad) return RUN_STATES.finished;
  return { label: bad === run.count ? "Failed" : `${bad} of ${run.count} failed`, tone: "bad" };
}

/** A count with its noun. */
export function many(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A short time, for people: "0.4 s", "12 s". */
export function seconds(value) {
  if (typeof value === "number" && value < 0.05) return "under 0.1 s";
  return value === null || value === undefined ? "" : value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

/** A moment: the time alone where it is of today. */
export function moment(epoch) {
  const date = new Date(epoch * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return today ? time : `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

/** A module's arguments on one line. */
export function shownArgs(args) {
  if (args === null || args === undefined) return "";
  if (typeof args === "string") return args;
  const { _raw_params: free, ...others } = args;
  const pairs = Object.entries(others).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return [free, ...pairs].filter(Boolean).join(" ");
}

/** What a host printed, without what only a terminal understands. */
export function plain(text) {
  return text
    // eslint-disable-next-line no-control-regex
    .replace(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-_])/g, "")
    // eslint-disable-next-line no-control-regex
    .replace(/\r\n/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\u00b7");
}

const COLLATOR = new Intl.Collator("en", { numeric: true });

/** Compares host names as people do: web2 before web10. */
export function byName(one, other) {
  return COLLATOR.compare(one, other);
}
