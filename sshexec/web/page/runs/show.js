// One run: how far it is, what each host does, and what they answered, folded.

import { button, duration, h, icon, line } from "../elements.js";
import { AnswerCard, said } from "./answer.js";
import { RunModel } from "./follow.js";
import { byName, hostState, many, moment, ORDER, plain, runState, seconds, shownArgs } from "./states.js";

const NAMED_TILES = 120;
const WORKING = 30;
const CARDS = 50;
/** From what is done to what is not begun. */
const PROGRESS = ["ok", "changed", "skipped", "failed", "unreachable", "timeout", "unknown", "cancelled", "running", "pending"];

/** Shows one run in an element; `again(run)` is called to run it once more. */
export class RunPage {
  constructor(app, id, { again, changed }) {
    this.app = app;
    this.again = again;
    this.changed = changed;
    this.model = new RunModel(app, id);
    this.cards = new Map();
    this.tiles = new Map();
    this.rows = new Map();
    this.only = null;
    this.way = "answers";
    this.limit = CARDS;
    this.further = button("", { icon: "down", on: () => this.showMore() });
    this.stale = new Set();
    this.element = h("div", { class: "run" }, h("p", { class: "loading", role: "status", text: "Loading" }));
    this.model.addEventListener("change", (event) => this.mark(event.detail));
    this.model.addEventListener("end", () => this.changed());
  }

  async open() {
    try {
      await this.model.open();
    } catch (error) {
      if (error.status === 404) {
        this.element.replaceChildren(
          h("div", { class: "empty" }, icon("runs"), h("strong", { text: "There is no such run" }), h("span", { text: "It may be over, and not in the history." })),
        );
      } else this.app.failed(error);
    }
  }

  close() {
    this.closed = true;
    this.model.close();
    clearInterval(this.clock);
    cancelAnimationFrame(this.frame);
  }

  /** Notes what changed; all of it is drawn at once, with the next picture. */
  mark(hosts) {
    if (hosts === null) this.whole = true;
    else for (const host of hosts) this.stale.add(host);
    if (!this.frame && !this.closed) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    if (!this.head) this.build();
    if (this.whole) this.rebuild();
    this.drawHead();
    const changed = this.whole ? [...this.model.hosts.keys()] : [...this.stale];
    for (const name of changed) this.drawTile(name);
    if (this.way === "answers") this.drawCards();
    else for (const name of changed) this.drawRow(name);
    this.drawWorking();
    this.whole = false;
    this.stale.clear();
  }

  build() {
    const { run } = this.model;
    this.state = h("span", { class: "badge", role: "status" });
    this.cancel = button("Cancel", { icon: "stop", kind: "danger", on: () => this.stop() });
    this.time = h("span");
    this.bar = h("div", { class: "run-bar", role: "img" });
    this.legend = h("div", { class: "run-legend", role: "group", "aria-label": "Show only hosts that are" });
    this.map = h("div", { class: "run-map", role: "group", "aria-label": "Hosts", on: { keydown: (event) => this.step(event) } });
    this.working = h("section", { class: "run-working card", "aria-label": "Hosts at work", hidden: true });
    this.results = h("section", { class: "run-answers", "aria-label": "Answers" });
    this.ways = h(
      "div",
      { class: "segments segments-small", role: "group", "aria-label": "How to show the answers" },
      ...[["answers", "Equal answers together"], ["hosts", "Host by host"]].map(([name, label]) =>
        h("button", { type: "button", class: "segment", text: label, data: { way: name }, "aria-pressed": String(name === this.way), on: { click: () => this.setWay(name) } }),
      ),
    );
    const args = shownArgs(run.args);
    this.head = h(
      "header",
      { class: "run-head" },
      h(
        "div",
        { class: "run-title" },
        button("All runs", { icon: "back", only: true, kind: "quiet run-back", on: () => this.app.navigate("runs") }),
        h("h1", {}, h("code", { text: run.module })),
        this.state,
        h("span", { class: "spacer" }),
        this.cancel,
        button("Run again", { icon: "refresh", on: () => this.again(this.model.run) }),
      ),
      args ? h("pre", { class: "run-args", text: plain(args) }) : null,
      h(
        "p",
        { class: "run-about" },
        about("host", run.pattern.length > 80 ? many(run.count, "host") : run.pattern),
        run.user ? about("sessions", run.user) : null,
        h("span", { class: "run-fact", title: new Date(run.started * 1000).toString() }, icon("recordings"), this.time),
        run.check ? h("span", { class: "badge badge-info", text: "only checked" }) : null,
        run.become ? h("span", { class: "badge badge-warn", text: `as ${line(run.become_user ?? "root", 40)}` }) : null,
        run.reason ? about("info", run.reason) : null,
      ),
      run.left_out.length
        ? h("p", { class: "run-left" }, icon("lock"), h("span", { text: `Left out, since you may not run anything there: ${line(run.left_out.join(", "), 300)}` }))
        : null,
      h("div", { class: "run-progress" }, this.bar, this.legend),
    );
    this.element.replaceChildren(this.head, this.map, this.working, h("div", { class: "run-ways" }, this.ways), this.results);
    this.clock = setInterval(() => this.tick(), 1000);
    this.app.entitle(`${run.module} on ${run.pattern}`);
  }

  /** Begins anew with what is shown of hosts: the whole has come. */
  rebuild() {
    this.tiles.clear();
    this.cards.clear();
    this.rows.clear();
    const names = [...this.model.hosts.keys()].sort(byName);
    const named = names.length <= NAMED_TILES;
    this.map.className = `run-map ${named ? "run-map-named" : "run-map-dense"}`;
    this.map.replaceChildren(
      ...names.map((name, index) => {
        const tile = h("button", { type: "button", class: "tile", tabindex: index ? "-1" : "0", data: { host: name }, on: { click: () => this.find(name) } }, named ? h("span", { text: line(name, 40) }) : null);
        this.tiles.set(name, tile);
        return tile;
      }),
    );
    this.results.replaceChildren();
    if (this.way === "hosts") this.buildRows(names);
  }

  /** Arrow keys go from host to host; the map is one stop of the Tab key. */
  step(event) {
    const tiles = [...this.map.children];
    const here = tiles.indexOf(document.activeElement);
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tiles.length - 1 }[event.key];
    if (here < 0 || to === undefined || !tiles[to]) return;
    event.preventDefault();
    tiles[here].tabIndex = -1;
    tiles[to].tabIndex = 0;
    tiles[to].focus();
  }

  tick() {
    const { run } = this.model;
    if (!run) return;
    const end = run.finished ?? Date.now() / 1000;
    const took = Math.max(0, end - run.started);
    this.time.textContent = `${moment(run.started)}, ${run.finished ? seconds(took) : duration(took)}`;
    if (run.finished) clearInterval(this.clock);
  }

  drawHead() {
    const { run } = this.model;
    const state = this.model.lost ? { label: "Reconnecting", tone: "warn" } : runState(run);
    this.state.className = `badge badge-${state.tone}`;
    this.state.replaceChildren(run.state === "running" ? h("span", { class: "dot dot-opening" }) : "", state.label);
    this.cancel.hidden = run.state !== "running" || !run.live;
    this.cancel.disabled = Boolean(run.cancelling);
    this.tick();
    const shares = PROGRESS.filter((name) => run.counts[name]);
    this.bar.replaceChildren(
      ...shares.map((name) => {
        const part = h("span", { class: `run-share state-${name}` });
        part.style.flexGrow = String(run.counts[name]);
        return part;
      }),
    );
    this.bar.setAttribute("aria-label", shares.map((name) => `${run.counts[name]} ${hostState(name).label}`).join(", "));
    this.legend.replaceChildren(
      ...shares.map((name) =>
        h(
          "button",
          { type: "button", class: "run-count", "aria-pressed": String(this.only === name), on: { click: () => this.filter(name) } },
          h("span", { class: `swatch state-${name}` }),
          h("strong", { text: String(run.counts[name]) }),
          h("span", { text: hostState(name).label }),
        ),
      ),
    );
  }

  drawTile(name) {
    const host = this.model.hosts.get(name);
    const tile = this.tiles.get(name);
    if (!tile || !host) return;
    const word = host.state === "running" ? host.phase : hostState(host.state).label;
    tile.className = `tile state-${host.state}`;
    tile.title = `${name}: ${word}${host.seconds === null ? "" : `, ${seconds(host.seconds)}`}`;
    tile.setAttribute("aria-label", `${name}: ${word}`);
    tile.classList.toggle("tile-dim", Boolean(this.only) && this.only !== host.state);
  }

  /** The answers to be shown, what went wrong first. */
  ordered() {
    const { answers, members } = this.model;
    const count = (answer) => members.get(answer.number)?.length ?? 0;
    const rank = (answer) => ORDER.indexOf(answer.status);
    return answers
      .filter((answer) => !this.only || this.only === answer.status)
      .sort((one, other) => rank(one) - rank(other) || count(other) - count(one) || one.number - other.number);
  }

  drawCards() {
    const ordered = this.ordered();
    const shown = ordered.slice(0, this.limit).map((answer) => {
      let card = this.cards.get(answer.number);
      if (!card) this.cards.set(answer.number, (card = new AnswerCard(this.app, this.model, answer)));
      card.update();
      return card.element;
    });
    const rest = ordered.length - shown.length;
    if (rest > 0) shown.push(this.further);
    this.further.querySelector("span").textContent = `${many(rest, "more answer")}`;
    // What stands where it should is left alone, so that nobody loses place, focus or selection.
    shown.forEach((element, index) => {
      if (this.results.children[index] !== element) this.results.insertBefore(element, this.results.children[index] ?? null);
    });
    while (this.results.children.length > shown.length) this.results.lastElementChild.remove();
  }

  buildRows(names) {
    const body = h("tbody");
    for (const name of names) {
      const row = h("tr", { class: "host-row", data: { host: name } });
      this.rows.set(name, row);
      body.append(row);
    }
    this.results.replaceChildren(
      h(
        "div",
        { class: "card" },
        h("table", { class: "table host-table" }, h("thead", {}, h("tr", {}, ...["Host", "State", "Time", "Answer"].map((text) => h("th", { scope: "col", text })))), body),
      ),
    );
  }

  drawRow(name) {
    const host = this.model.hosts.get(name);
    const row = this.rows.get(name);
    if (!host || !row) return;
    const state = hostState(host.state);
    const answer = host.answer === null ? null : this.model.answers[host.answer];
    const words = answer ? firstLine(answer) : host.state === "running" ? host.phase : "";
    row.hidden = Boolean(this.only) && this.only !== host.state;
    row.replaceChildren(
      h("td", { "data-label": "Host" }, h("code", { text: line(name, 80) })),
      h("td", { "data-label": "State" }, h("span", { class: `badge badge-${state.tone}`, text: state.label })),
      h("td", { "data-label": "Time", class: "muted", text: seconds(host.seconds) }),
      h(
        "td",
        { class: "host-said" },
        answer ? h("button", { type: "button", class: "host-open", "aria-expanded": "false", on: { click: (event) => this.unfold(event.currentTarget, answer) } }, icon("chevron"), h("code", { text: line(words, 160) })) : h("span", { class: "muted", text: words }),
      ),
    );
  }

  unfold(toggle, answer) {
    const open = toggle.getAttribute("aria-expanded") === "true";
    toggle.setAttribute("aria-expanded", String(!open));
    if (open) toggle.nextElementSibling?.remove();
    else toggle.after(h("div", { class: "host-answer" }, ...said(answer)));
  }

  drawWorking() {
    const { model } = this;
    const names = [...model.live.keys()].filter((name) => model.hosts.get(name)?.state === "running").sort(byName);
    this.working.hidden = !names.length;
    if (!names.length) {
      this.working.replaceChildren();
      return;
    }
    const rows = names.slice(0, WORKING).map((name) => {
      const last = plain(model.live.get(name)).trimEnd().split("\n").slice(this.looked === name ? -12 : -1).join("\n");
      return h(
        "button",
        { type: "button", class: "working-row", "aria-expanded": String(this.looked === name), on: { click: () => this.look(name) } },
        h("span", { class: "dot dot-opening" }),
        h("code", { class: "working-name", text: line(name, 40) }),
        h("pre", { class: "working-text", text: last || "…" }),
      );
    });
    if (names.length > WORKING) rows.push(h("p", { class: "muted", text: `and ${names.length - WORKING} more hosts print something` }));
    const focused = this.working.contains(document.activeElement) ? [...this.working.children].indexOf(document.activeElement) : -1;
    const scrolled = this.working.scrollTop;
    this.working.replaceChildren(h("h3", { text: "At work" }), ...rows);
    this.working.scrollTop = scrolled;
    if (focused > 0) this.working.children[focused]?.focus();
  }

  look(name) {
    this.looked = this.looked === name ? null : name;
    this.drawWorking();
  }

  showMore() {
    this.limit += CARDS;
    this.mark([]);
  }

  setWay(way) {
    this.way = way;
    for (const each of this.ways.children) each.setAttribute("aria-pressed", String(each.dataset.way === way));
    this.mark(null);
  }

  filter(name) {
    this.only = this.only === name ? null : name;
    this.whole = this.way === "hosts";
    for (const host of this.model.hosts.keys()) this.stale.add(host);
    this.mark([]);
  }

  /** Goes to what a host said. */
  find(name) {
    const host = this.model.hosts.get(name);
    if (!host) return;
    if (host.state === "running" && this.model.live.has(name)) {
      this.looked = name;
      this.drawWorking();
      this.working.scrollIntoView({ block: "nearest", behavior: "smooth" });
      return;
    }
    const hosts = this.way === "hosts";
    if (!hosts && host.answer !== null) {
      if (this.only && this.only !== host.state) this.filter(this.only);
      this.limit = Math.max(this.limit, this.ordered().findIndex((answer) => answer.number === host.answer) + 1);
      this.drawCards();
    }
    const place = hosts ? this.rows.get(name) : this.cards.get(host.answer)?.element;
    if (!place) return;
    place.hidden = false;
    place.scrollIntoView({ block: "start", behavior: "smooth" });
    place.classList.add("found");
    setTimeout(() => place.classList.remove("found"), 1200);
  }

  async stop() {
    const { run } = this.model;
    const text = `Hosts that wait are not begun, and commands that run are killed, on ${many((run.counts.running ?? 0) + (run.counts.pending ?? 0), "host")}.`;
    if (!(await this.app.confirm("Cancel this run?", text, { yes: "Cancel the run", kind: "danger" }))) return;
    this.cancel.disabled = true;
    try {
      await this.app.api.delete(`runs/${this.model.id}`);
    } catch (error) {
      this.cancel.disabled = false;
      this.app.failed(error);
    }
  }
}

function about(picture, text) {
  return h("span", { class: "run-fact" }, icon(picture), h("span", { text: line(text, 120) }));
}

function firstLine(answer) {
  const text = [answer.stdout, answer.stderr, answer.msg, answer.data].map((each) => plain(each ?? "").trim()).find(Boolean) ?? "";
  return text.split("\n", 1)[0];
}
