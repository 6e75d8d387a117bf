// One run as the server tells it: everything first, then each change (docs/web-runs.md).

const TAIL = 4000;
const AGAIN = 2000; // milliseconds until the run is asked for anew

/** A run; an event "change" is told with `detail` the hosts that changed, or null where all may have. */
export class RunModel extends EventTarget {
  constructor(app, id) {
    super();
    this.app = app;
    this.id = id;
    this.run = null;
    this.hosts = new Map();
    this.answers = [];
    this.members = new Map();
    this.live = new Map();
    this.source = null;
    this.lost = false;
    this.closed = false;
  }

  /** Fetches the run, and follows it while it goes on. */
  async open() {
    const whole = await this.app.api.get(`runs/${encodeURIComponent(this.id)}`);
    if (this.closed) return;
    this.take(whole);
    if (whole.live && whole.state === "running") this.follow();
  }

  /** Ends it for good; also what is under way. */
  close() {
    this.closed = true;
    clearTimeout(this.again);
    this.unfollow();
  }

  unfollow() {
    this.source?.close();
    this.source = null;
  }

  /** Fetches it anew a little later; again and again while the server has trouble that may pass. */
  later() {
    this.again = setTimeout(async () => {
      try {
        await this.open();
        this.reach(true);
      } catch (error) {
        if (this.closed) return;
        if (error.status === 0 || error.status >= 500) this.later();
        else this.app.failed(error);
      }
    }, AGAIN);
  }

  follow() {
    this.unfollow();
    const source = (this.source = new EventSource(this.app.api.url(`runs/${encodeURIComponent(this.id)}/events`)));
    const listen = (name, handle) =>
      source.addEventListener(name, (event) => {
        if (this.source === source) handle(JSON.parse(event.data));
      });
    listen("snapshot", (data) => {
      this.take(data);
      if (data.state !== "running") this.over(); // it ended before we came: nothing more will be said
    });
    listen("phase", ({ host, phase }) => this.phase(host, phase));
    listen("progress", ({ host, done, total }) => this.progress(host, done, total));
    listen("output", ({ host, text }) => this.output(host, text));
    listen("result", (data) => this.result(data));
    listen("cancelling", () => this.change(() => (this.run.cancelling = true), null));
    listen("end", (data) => this.end(data));
    source.onopen = () => this.reach(true);
    source.onerror = () => {
      if (this.source !== source) return;
      this.reach(false);
      // It comes back by itself, unless the server has refused: then what the history has is all there is.
      if (source.readyState === EventSource.CLOSED) {
        this.unfollow();
        this.later();
      }
    };
  }

  reach(there) {
    if (this.lost === !there) return;
    this.lost = !there;
    this.dispatchEvent(new CustomEvent("change", { detail: [] }));
  }

  change(make, hosts) {
    make();
    this.dispatchEvent(new CustomEvent("change", { detail: hosts }));
  }

  take(whole) {
    const { hosts, answers, tails, ...run } = whole;
    this.run = run;
    this.answers = answers;
    this.hosts = new Map();
    this.members = new Map(answers.map((answer) => [answer.number, []]));
    this.live = new Map(Object.entries(tails));
    for (const [name, state, answer, seconds] of hosts) {
      this.hosts.set(name, { name, state: answer === null && run.state === "running" && state !== "pending" ? "running" : state, phase: state, answer, seconds });
      if (answer !== null) this.members.get(answer)?.push(name);
    }
    this.dispatchEvent(new CustomEvent("change", { detail: null }));
  }

  phase(name, phase) {
    const host = this.hosts.get(name);
    if (!host) return;
    this.move(host, "running");
    host.phase = phase;
    host.progress = null;
    this.dispatchEvent(new CustomEvent("change", { detail: [name] }));
  }

  progress(name, done, total) {
    const host = this.hosts.get(name);
    if (!host) return;
    host.progress = total ? done / total : null;
    this.dispatchEvent(new CustomEvent("change", { detail: [name] }));
  }

  output(name, text) {
    this.live.set(name, ((this.live.get(name) ?? "") + text).slice(-TAIL));
    this.dispatchEvent(new CustomEvent("change", { detail: [name] }));
  }

  result({ host: name, status, answer, seconds, said }) {
    if (said) {
      this.answers[answer] = said;
      this.members.set(answer, []);
    }
    const host = this.hosts.get(name);
    if (!host) return;
    this.move(host, status);
    Object.assign(host, { answer, seconds });
    this.members.get(answer)?.push(name);
    this.live.delete(name);
    this.dispatchEvent(new CustomEvent("change", { detail: [name] }));
  }

  move(host, state) {
    const { counts } = this.run;
    if (host.state === state) return;
    counts[host.state] = Math.max(0, (counts[host.state] ?? 0) - 1);
    counts[state] = (counts[state] ?? 0) + 1;
    host.state = state;
  }

  end(summary) {
    Object.assign(this.run, summary);
    this.over();
  }

  over() {
    this.unfollow();
    this.lost = false;
    this.dispatchEvent(new CustomEvent("change", { detail: null }));
    this.dispatchEvent(new Event("end"));
  }
}
