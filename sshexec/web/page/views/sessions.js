// The sessions that one may know of: to take up, to watch, to pause, to terminate.

import { button, bytes, duration, h, icon, line } from "../elements.js";

const EVERY = 5000; // milliseconds

class Sessions {
  constructor(element, app) {
    this.app = app;
    this.summary = h("p", { "aria-live": "polite" });
    this.list = h("div", { class: "card" });
    element.append(
      h(
        "div",
        { class: "page" },
        h("header", { class: "page-head" }, h("h1", { text: "Sessions" }), h("span", { class: "spacer" }), button("Load anew", { icon: "refresh", only: true, on: () => this.load() }), this.summary),
        this.list,
      ),
    );
  }

  shown() {
    this.hidden();
    this.load();
    this.timer = setInterval(() => document.hidden || this.load(true), EVERY);
  }

  hidden() {
    clearInterval(this.timer);
  }

  async load(quietly = false) {
    try {
      const { sessions } = await this.app.api.get("sessions");
      this.#draw(sessions.sort((one, other) => other.started - one.started));
    } catch (error) {
      if (!quietly) this.app.failed(error);
    }
  }

  #draw(sessions) {
    const drawn = JSON.stringify(sessions.map((each) => ({ ...each, idle: 0 })));
    // A row that is drawn anew takes the focus from whoever is about to press a button in it.
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const count = sessions.length;
    this.summary.textContent = count ? `${count} ${count === 1 ? "session is" : "sessions are"} running.` : "";
    if (!count) {
      this.list.replaceChildren(h("div", { class: "empty" }, icon("sessions"), h("strong", { text: "No sessions" }), h("p", { text: "What is open on the hosts is listed here, yours and those that you may see." })));
      return;
    }
    const head = ["Host", "Whose", "State", "Open for", "Output", "There", ""].map((text) => h("th", { scope: "col", text }));
    const focus = document.activeElement?.dataset?.key;
    this.list.replaceChildren(h("table", { class: "table" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...sessions.map((each) => this.#row(each)))));
    if (focus) this.list.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
  }

  #row(session) {
    const mine = session.owner === this.app.me.user;
    const owned = session.viewers.some((viewer) => viewer.role === "owner");
    const cell = (label, ...children) => h("td", { "data-label": label }, ...children);
    const people = session.viewers.map((viewer) => `${line(viewer.user || "?", 40)}${viewer.role === "watcher" ? " (watches)" : ""}`).join(", ");
    return h(
      "tr",
      { data: { session: session.id } },
      cell("Host", h("strong", { text: line(session.host, 100) }), session.command ? h("code", { class: "muted", text: ` ${line(session.command, 60)}` }) : null),
      cell("Whose", h("span", { text: `${line(session.owner || "?", 60)}${mine ? " (you)" : ""}` })),
      cell("State", ...this.#badges(session, owned)),
      cell("Open for", h("span", { text: duration(Date.now() / 1000 - session.started) })),
      cell("Output", h("span", { text: bytes(session.sent) })),
      cell("There", h("span", { text: people || "nobody" })),
      h("td", {}, h("div", { class: "actions" }, ...this.#actions(session, mine))),
    );
  }

  #badges(session, owned) {
    const kinds = { open: "good", opening: "warn", ended: "bad" };
    const badges = [h("span", { class: `badge badge-${kinds[session.state]}`, text: session.state === "open" && !owned ? "left alone" : session.state })];
    if (session.paused) badges.push(h("span", { class: "badge badge-warn", text: "paused" }));
    if (session.read_only) badges.push(h("span", { class: "badge badge-warn", text: "read-only" }));
    if (session.recording) badges.push(h("span", { class: "badge badge-bad" }, icon("record"), "recorded"));
    return [h("span", { class: "badges" }, ...badges)];
  }

  #actions(session, mine) {
    const act = (label, picture, kind, run) => button(label, { icon: picture, only: true, kind, on: run }, { "data-key": `${session.id}-${picture}` });
    const open = (role) => {
      this.app.navigate("terminals");
      this.app.terminals.open({ host: session.host, session: session.id, role });
    };
    return [
      mine ? act(`Take up ${session.host}`, "terminal", "", () => open("owner")) : null,
      act(`Watch ${session.host}`, "eye", "", () => open("watcher")),
      session.paused
        ? act(`Let ${session.host} go on`, "play", "", () => this.#call(session, "pause", { paused: false }))
        : act(`Pause ${session.host}`, "pause", "", () => this.#call(session, "pause", { paused: true })),
      act(`Terminate ${session.host}`, "stop", "", () => this.#terminate(session)),
    ].filter(Boolean);
  }

  async #call(session, path, body) {
    try {
      await this.app.api.post(`sessions/${encodeURIComponent(session.id)}/${path}`, body);
    } catch (error) {
      this.app.failed(error);
    }
    this.load();
  }

  async #terminate(session) {
    const whose = session.owner === this.app.me.user ? "your session" : `the session of ${line(session.owner, 60)}`;
    const answer = await this.app.dialog({
      title: `Terminate ${whose} on ${session.host}?`,
      text: "Programs that run in it are ended.",
      icon: "warning",
      tone: "danger",
      fields: [{ name: "reason", label: "Reason, for whoever is there", placeholder: "optional" }],
      actions: [{ value: "cancel", label: "Cancel" }, { value: "ok", label: "Terminate", kind: "danger" }],
    });
    if (!answer) return;
    try {
      await this.app.api.delete(`sessions/${encodeURIComponent(session.id)}`, { reason: answer.values.reason.trim() || null });
      this.app.notify(`The session on ${session.host} is terminated.`, { level: "success" });
    } catch (error) {
      this.app.failed(error);
    }
    this.load();
  }
}

let sessions;

export default {
  id: "sessions",
  title: "Sessions",
  icon: "sessions",
  mount(element, app) {
    sessions = new Sessions(element, app);
  },
  shown: () => sessions.shown(),
  hidden: () => sessions.hidden(),
};
