// Recordings: which there are, found by host, by whose they are, or by a command that was typed; and one of them, played.

import { button, bytes, duration, h, icon, line } from "../elements.js";
import { PlayerPage } from "../recordings/player.js";

const WAIT = 250; // milliseconds after the last key until it is searched
const STATES = { running: ["good", "running"], ended: ["", "ended"], broken: ["warn", "broken off"] };

class Recordings {
  constructor(element, app) {
    this.app = app;
    document.head.append(h("link", { rel: "stylesheet", href: new URL("../recordings/recordings.css", import.meta.url).href }));
    this.input = h("input", {
      type: "search",
      placeholder: "Host, user, or a command",
      "aria-label": "Search recordings",
      maxlength: 200,
      autocomplete: "off",
      spellcheck: "false",
      on: { input: () => this.#later() },
    });
    this.summary = h("p", { "aria-live": "polite" });
    this.list = h("div", { class: "card" });
    this.page = h(
      "div",
      { class: "page" },
      h(
        "header",
        { class: "page-head" },
        h("h1", { text: "Recordings" }),
        h("span", { class: "spacer" }),
        h("label", { class: "search-box recordings-search" }, icon("search"), this.input),
        button("Load anew", { icon: "refresh", only: true, on: () => this.load() }),
        this.summary,
      ),
      this.list,
    );
    this.place = h("div", { class: "recordings-one", hidden: true });
    element.append(this.page, this.place);
  }

  shown(name) {
    this.#close();
    this.page.hidden = Boolean(name);
    this.place.hidden = !name;
    if (!name) {
      this.load();
      return;
    }
    this.player = new PlayerPage(this.app, name, this.input.value.trim());
    this.place.replaceChildren(this.player.element);
    this.player.open();
  }

  hidden() {
    this.#close();
  }

  #close() {
    this.player?.close();
    this.player = null;
    this.place.replaceChildren();
  }

  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), WAIT);
  }

  async load() {
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    const search = this.input.value.trim();
    try {
      if (this.app.me.recordings === false) return this.#none("Nothing is recorded", "“sshexec web --record DIR” records every session.");
      const answer = await this.app.api.get("recordings", { search: search || null }, { signal: loading.signal });
      if (loading === this.loading) this.#draw(answer, search);
    } catch (error) {
      if (error.name !== "AbortError" && !this.list.querySelector("table")) this.#none("The recordings could not be loaded", error.message);
      else this.app.failed(error);
    }
    return null;
  }

  #none(title, text) {
    this.summary.textContent = "";
    this.list.replaceChildren(h("div", { class: "empty" }, icon("recordings"), h("strong", { text: title }), h("p", { text })));
  }

  #draw({ recordings, more }, search) {
    const count = recordings.length;
    if (!count) {
      if (search) this.#none("Nothing found", "No host, no user and no command that was seen has this in it.");
      else this.#none("No recordings", "Sessions are listed here as soon as they begin.");
      return;
    }
    const many = count === 1 ? "1 recording" : `${count} recordings`;
    const note = search ? ". Commands are found as far as they could be seen from outside." : ".";
    this.summary.textContent = `${more ? `The latest ${count} recordings` : many}${search ? " with this" : ""}${note}`;
    const head = ["Host", "Whose", "Began", "Length", "Size", "State", ""].map((text) => h("th", { scope: "col", text }));
    const rows = recordings.flatMap((each) => this.#rows(each));
    this.list.replaceChildren(h("table", { class: "table recordings-table" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
  }

  #rows(recorded) {
    const cell = (label, ...children) => h("td", { "data-label": label }, ...children);
    const [kind, word] = STATES[recorded.state] ?? ["", recorded.state];
    const path = `#/recordings/${encodeURIComponent(recorded.name)}`;
    const row = h(
      "tr",
      { data: { recording: recorded.name }, on: { dblclick: () => this.app.navigate(path.slice(2)) } },
      cell("Host", h("a", { class: "recordings-host", href: path, text: line(recorded.host, 100) }), recorded.command ? h("code", { class: "muted", text: line(recorded.command, 60) }) : null),
      cell("Whose", h("span", { text: line(recorded.owner || "?", 60) })),
      cell("Began", h("time", { text: began(recorded.started) })),
      cell("Length", h("span", { text: duration(recorded.seconds) })),
      cell("Size", h("span", { text: bytes(recorded.bytes) })),
      cell("State", h("span", { class: `badge ${kind ? `badge-${kind}` : ""}`, text: recorded.reason === "full" ? "full" : word })),
      h("td", {}, h("div", { class: "actions" }, button(`Play ${line(recorded.host, 60)}`, { icon: "play", only: true, on: () => this.app.navigate(path.slice(2)) }))),
    );
    if (!recorded.commands.length) return [row];
    const found = recorded.commands.map((each) => h("code", { text: line(each.text, 160) }));
    return [row, h("tr", { class: "recordings-found" }, h("td", { colspan: 7 }, ...found))];
  }
}

function began(seconds) {
  return new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

let recordings;

export default {
  id: "recordings",
  title: "Recordings",
  icon: "recordings",
  mount(element, app) {
    recordings = new Recordings(element, app);
  },
  shown: (path) => recordings.shown(path),
  hidden: () => recordings.hidden(),
};
