// One terminal of the page: its screen, its connection, its bar of buttons, and what is said about it.

import { confirm, dialog, notify } from "../dialogs.js";
import { button, h, icon, line } from "../elements.js";
import { Channel } from "./channel.js";
import { Files } from "./files.js";
import { Find } from "./find.js";
import { Questions } from "./questions.js";
import { Screen } from "./screen.js";
import { touchKeys } from "./touchkeys.js";

const PHASES = {
  waiting: "Waiting for its turn",
  resolve: "Looking up the address",
  connect: "Connecting",
  banner: "Greeting",
  key_exchange: "Exchanging keys",
  authenticate: "Signing in",
  session: "Opening a session",
};

let number = 0;

/** A terminal; tells "change" when its title, state or role changed, "activity" when something came. */
export class Pane extends EventTarget {
  /**
   * @param {Object} wanted `host`, and `session` with `role` for one that is there already; what keep.js kept.
   */
  constructor(app, wanted) {
    super();
    this.app = app;
    this.host = wanted.host;
    this.session = wanted.session ?? null;
    this.role = wanted.role ?? "owner";
    this.title = wanted.title ?? "";
    this.state = "opening"; // opening, open, lost, ended, failed
    this.viewers = [];
    this.mine = null;
    this.key = `pane-${(number += 1)}`;
    this.facts = { read_only: false, upload: false, download: false, recording: null };
    this.screen = new Screen(app.settings, {
      typed: (data) => this.#typed(data),
      titled: (text) => this.#titled(text),
      sized: (size) => this.role === "owner" && this.channel?.tell({ t: "resize", ...size }),
      rang: () => this.#rang(),
      key: (event) => wanted.key?.(event) ?? false,
    });
    this.questions = new Questions(
      this.host,
      (id, values) => this.channel.tell({ t: "answers", id, values }),
      () => this.#end(),
    );
    this.files = new Files(app, this);
    this.find = new Find(this.screen);
    this.#build();
    if (wanted.screen) this.screen.restore(wanted);
    this.resumes = wanted.screen ? true : false;
  }

  #build() {
    this.place = h("div", { class: "terminal-place" });
    this.veil = h("div", { class: "terminal-veil", role: "status", hidden: true });
    this.strip = h("div", { class: "terminal-strip", role: "status", hidden: true });
    this.bar = h("div", { class: "terminal-bar" });
    this.touch = touchKeys((text) => this.screen.terminal.input(text, true), () => this.screen.focus());
    this.element = h(
      "div",
      { class: "pane", id: this.key, role: "tabpanel", "aria-label": `Terminal of ${this.host}` },
      this.bar,
      h("div", { class: "terminal-body" }, this.find.element, this.place, this.veil, this.files.element),
      this.strip,
      this.touch,
    );
    this.files.listen(this.element);
    this.#bar();
  }

  /** Puts it to work, once its element is in the page. */
  start() {
    this.screen.open(this.place);
    this.#connect();
  }

  #connect() {
    this.channel?.close();
    this.channel = new Channel({
      token: () => this.#token(),
      hello: () => ({ ...this.screen.size, since: this.resumes ? this.screen.since : null }),
      on: {
        data: (data) => this.#shown(data),
        message: (message) => this.#heard(message),
        state: (state, facts) => this.#stated(state, facts),
        latency: (time) => this.#latency(time),
      },
    });
  }

  async #token() {
    const { api } = this.app;
    if (!this.session) return (await api.post("sessions", { host: this.host })).token;
    try {
      return (await api.post(`sessions/${encodeURIComponent(this.session)}/token`, { role: this.role })).token;
    } catch (error) {
      if (error.status === 404 || error.status === 410) error.message = "This session is over.";
      throw error;
    }
  }

  // What comes from the session.

  #shown(data) {
    if (this.state === "opening") this.#become("open");
    const channel = this.channel;
    this.screen.write(data, (size) => channel.acknowledge(size));
    this.dispatchEvent(new Event("activity"));
  }

  #heard(message) {
    const action = {
      ready: () => this.#ready(message),
      phase: () => this.state === "opening" && this.#cover(PHASES[message.phase] ?? line(message.phase), { busy: true }),
      opened: () => this.#become("open"),
      ask: () => this.#asked(message),
      answered: () => (this.questions.answered(message.id), this.#tell()),
      reset: () => this.screen.reset(message.seq),
      resized: () => this.role === "owner" || this.screen.follow(message),
      notice: () => notify(`${this.host}: ${message.text}`, { level: message.level, seconds: 10 }),
      paused: () => this.#paused(message.by),
      viewers: () => this.#watched(message),
      ended: () => this.#ended(message),
      detached: () => (this.detached = message.reason),
      error: () => notify(`${this.host}: ${message.text}`, { level: "error" }),
    }[message.t];
    action?.();
  }

  #ready(message) {
    this.session = message.id;
    this.facts = message;
    this.mine = message.viewer;
    this.resumes = true;
    this.screen.replayed = message.sent ?? 0;
    this.screen.resume(message.seq);
    this.#cast(message.role, message);
    if (message.state === "open") this.#become("open");
    this.#tell();
  }

  /** Takes a role: the owner's size counts, and only the owner types. */
  #cast(role, size) {
    const before = this.role;
    this.role = role;
    this.screen.muted = role !== "owner" || this.facts.read_only || Boolean(this.pausedBy);
    if (role === "owner") this.screen.lead();
    else if (size) this.screen.follow(size);
    if (before !== role && this.state === "open") {
      notify(role === "owner" ? `${this.host}: the terminal is yours now.` : `${this.host}: you are watching now.`);
    }
    this.#bar();
  }

  #asked(message) {
    this.questions.ask(message);
    this.#cover("Waiting for your answer");
    this.#tell();
  }

  #paused(by) {
    this.pausedBy = by;
    this.screen.muted = this.role !== "owner" || this.facts.read_only || Boolean(by);
    if (by) this.#say(`Paused by ${line(by, 60)}. Nothing is sent or shown until it goes on.`, "pause");
    else this.#say(null);
    this.#bar();
  }

  #watched(message) {
    this.viewers = message.viewers;
    this.mine = message.mine;
    if (message.role !== this.role) this.#cast(message.role, this.screen.size);
    this.#bar();
    this.#tell();
  }

  #ended(message) {
    this.questions.clear();
    this.ended = message;
    const failed = message.reason === "failed";
    const texts = {
      exited: message.exit_signal
        ? `The program was ended by ${line(message.exit_signal, 20)}.`
        : `The program ended${message.exit_status === null ? "" : ` with status ${message.exit_status}`}.`,
      terminated: "The session was terminated.",
      idle: "Nothing was typed for too long.",
      max_time: "The session's time is over.",
      lost: "The connection to the host broke.",
    };
    const text = failed || message.reason === "lost" || !texts[message.reason] ? message.text : null;
    this.#become(failed ? "failed" : "ended");
    this.#over(text ? line(text, 600) : texts[message.reason] ?? "The session is over.");
  }

  // What comes from the connection.

  #stated(state, { text, seconds, code }) {
    clearInterval(this.countdown);
    if (state === "connected") {
      if (this.state === "lost") this.#become(this.facts.state === "opening" ? "opening" : "open");
      if (!this.pausedBy) this.#say(null);
    } else if (state === "connecting" && this.state === "opening") {
      this.#cover(`Connecting to ${this.host}`, { busy: true });
    } else if (state === "waiting") {
      this.#become("lost");
      this.#wait(text, seconds);
    } else if (state === "closed") {
      this.#closed(text, code);
    }
  }

  #wait(text, seconds) {
    let left = Math.ceil(seconds);
    const again = button("Try now", { kind: "quiet", on: () => this.channel.retry() });
    const tick = () => {
      this.#say(`${text} Trying again${left > 1 ? ` in ${left} s` : ""}…`, "refresh", again);
      left -= 1;
    };
    tick();
    this.countdown = setInterval(tick, 1000);
  }

  #closed(text, code) {
    this.questions.clear();
    if (this.state === "ended" || this.state === "failed") return;
    const stolen = this.detached === "stolen" || code === 4006;
    this.#become(this.session ? "ended" : "failed");
    if (stolen) {
      const back = button("Take it back", { kind: "primary", on: () => this.#again(true) });
      this.#say("This terminal was opened somewhere else.", "swap", back);
    } else this.#over(text || "The session is over.");
  }

  #over(text) {
    this.#bar();
    if (this.state === "failed") {
      this.#cover(text, { failed: true });
      return;
    }
    this.#cover(null);
    const again = button("New session", { kind: "quiet", icon: "refresh", on: () => this.#again(false) });
    this.#say(text, "info", this.role === "owner" ? again : null);
  }

  /** Opens it again: the same session, or a new one on the host. */
  #again(same) {
    if (!same) {
      this.session = null;
      this.resumes = false;
      this.screen.reset(0);
    }
    this.role = "owner";
    this.ended = null;
    this.detached = null;
    this.pausedBy = null;
    this.#say(null);
    this.#become("opening");
    this.#connect();
    this.screen.focus();
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.screen.muted = this.role !== "owner" || this.facts.read_only || Boolean(this.pausedBy) || state !== "open";
    if (state === "open") {
      this.#cover(null);
      if (this.visible && !document.querySelector("dialog[open]")) this.screen.focus();
    }
    this.#bar();
    this.#tell();
  }

  #latency(time) {
    if (this.clock) this.clock.textContent = `${Math.max(1, Math.round(time))} ms`;
  }

  // What is typed, and what the program says of itself.

  #typed(data) {
    if (this.role === "owner" && this.state === "open") this.channel.write(this.touch.modify(data));
  }

  #titled(text) {
    this.title = text;
    if (this.titleText) this.titleText.textContent = text;
    this.#tell();
  }

  #rang() {
    this.dispatchEvent(new Event("bell"));
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  // What is drawn around the screen.

  #cover(text, { busy = false, failed = false } = {}) {
    this.veil.hidden = text === null;
    if (text === null) return;
    this.veil.replaceChildren(
      h(
        "div",
        { class: `veil-card ${failed ? "veil-failed" : ""}` },
        failed ? icon("warning") : h("span", { class: busy ? "spinner" : "" }),
        h("strong", { text: this.host }),
        h("p", { text }),
        failed ? button("Try again", { kind: "primary", icon: "refresh", on: () => this.#again(false) }) : null,
      ),
    );
  }

  #say(text, picture, ...more) {
    this.strip.hidden = text === null;
    if (text === null) return;
    this.strip.replaceChildren(icon(picture), h("span", { class: "strip-text", text }), ...more.filter(Boolean));
  }

  #bar() {
    const { facts, role, state } = this;
    const badge = (kind, picture, text, title) => h("span", { class: `badge badge-${kind}`, title }, icon(picture), text);
    const watchers = this.viewers.filter((each) => each.id !== this.mine).length;
    const live = state === "open";
    const owner = role === "owner";
    this.titleText = h("span", { class: "bar-title", text: this.title });
    this.clock = h("span", { class: "bar-clock", title: "Time to the server and back", text: this.clock?.textContent ?? "" });
    this.bar.replaceChildren(
      h("span", { class: `dot dot-${state}` }),
      h("strong", { class: "bar-host", text: this.host }),
      this.titleText,
      ...[
        owner ? null : badge("info", "eye", "Watching", "You see this session of somebody else and cannot type"),
        facts.read_only ? badge("warn", "lock", "Read-only", "Nothing can be typed here") : null,
        this.pausedBy ? badge("warn", "pause", "Paused", `By ${line(this.pausedBy, 60)}`) : null,
        facts.recording && live ? badge("bad", "record", "Recorded", "What is shown here is recorded") : null,
      ].filter(Boolean),
      h("span", { class: "spacer" }),
      this.clock,
      ...[
        watchers ? this.#audience(watchers) : null,
        this.#tool("Find", "search", () => this.find.open(), "Alt+Shift+F"),
        live && owner && facts.upload ? this.#tool("Upload files", "upload", () => this.files.choose()) : null,
        live && owner && facts.download ? this.#tool("Download a file", "download", () => this.files.fetch()) : null,
        live && owner ? this.#tool("End the session", "stop", () => this.terminate()) : null,
      ].filter(Boolean),
    );
  }

  #tool(label, picture, on, shortcut) {
    return button(label, { icon: picture, only: true, on, shortcut });
  }

  #audience(count) {
    const label = `${count} other ${count === 1 ? "viewer" : "viewers"}`;
    return h(
      "button",
      { type: "button", class: "button button-quiet bar-audience", "aria-label": label, title: label, on: { click: () => this.#viewers() } },
      icon("eye"),
      h("span", { text: String(count) }),
    );
  }

  /** Shows who is there, and hands the session over. */
  async #viewers() {
    const owner = this.role === "owner";
    let element;
    const rows = this.viewers.map((viewer) => {
      const me = viewer.id === this.mine;
      const give = () => {
        this.channel.tell({ t: "give", viewer: viewer.id });
        element.close();
      };
      return h(
        "li",
        { class: "viewer-row" },
        h("span", { class: "avatar", "aria-hidden": "true", text: line(viewer.user || "?", 40).slice(0, 2) }),
        h("span", { class: "viewer-name", text: `${line(viewer.user || "somebody", 60)}${me ? " (you)" : ""}` }),
        h("span", { class: "badge", text: viewer.role === "owner" ? "types" : "watches" }),
        owner && !me ? button("Hand over", { kind: "quiet", icon: "swap", on: give }) : null,
      );
    });
    await dialog({
      title: `Who is in ${this.host}`,
      icon: "eye",
      body: h("ul", { class: "viewers" }, ...rows),
      actions: [{ value: "cancel", label: "Close" }],
      opened: (each) => (element = each),
    });
  }

  // What the page asks of it.

  show(visible) {
    this.visible = visible;
    this.element.hidden = !visible;
    this.questions.show(visible);
    if (!visible) return;
    this.screen.fit();
    if (!document.querySelector("dialog[open]")) this.screen.focus();
  }

  /** Ends the session itself; asks first. */
  async terminate() {
    if (!(await confirm(`End the session on ${this.host}?`, "Programs that run in it are ended.", { yes: "End it", kind: "danger" }))) return;
    this.#end();
  }

  /** Ends the session, over the interface where its connection is away. @returns {boolean} whether the connection was told. */
  #end() {
    const told = this.channel.leave(true);
    if (!told && this.session) {
      const over = (error) => error.status === 404 || error.status === 410;
      this.app.api.delete(`sessions/${encodeURIComponent(this.session)}`).catch((error) => over(error) || this.app.failed(error));
    }
    return told;
  }

  get running() {
    return this.state !== "ended" && this.state !== "failed";
  }

  /** What is needed to show it again after the page was loaded anew; null where there is nothing to show. */
  kept() {
    if (!this.session || !this.running) return null;
    const { session, host, role, title } = this;
    return { session, host, role, title, ...this.screen.snapshot() };
  }

  /** Takes it off the page. @param {boolean} end whether its session ends too. */
  close(end) {
    clearInterval(this.countdown);
    this.questions.clear();
    this.files.close();
    const channel = this.channel;
    const told = this.running && (end && this.role === "owner" ? this.#end() : channel.leave(false));
    // What was said last still has to go out; one that is not there yet must not come.
    if (told) setTimeout(() => channel.close(), 500);
    else channel.close();
    channel.on = { data() {}, message() {}, state() {}, latency() {} };
    this.element.remove();
    this.screen.dispose();
  }
}
