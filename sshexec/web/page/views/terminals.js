// Terminals: hosts at the left, a tab for each terminal, and the one that is shown.

import { button, duration, h, icon, line } from "../elements.js";
import { Hosts } from "../terminal/hosts.js";
import { forget, keep, kept } from "../terminal/keep.js";
import { Pane } from "../terminal/pane.js";

const FONT = { ArrowUp: 1, ArrowDown: -1 };

class Terminals {
  constructor(element, app) {
    this.app = app;
    this.panes = [];
    this.current = null;
    this.hosts = new Hosts(app, (host) => this.open({ host }));
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Terminals", on: { keydown: (event) => this.#tabKey(event), wheel: (event) => this.#wheel(event), scroll: () => this.#edges() } });
    this.stack = h("div", { class: "panes" });
    this.home = h("div", { class: "home" });
    this.drawer = button("Hosts", { icon: "menu", only: true, on: () => this.#drawer() });
    element.classList.add("terminals");
    element.append(
      this.hosts.element,
      h("div", { class: "curtain", on: { click: () => this.#fold(false) } }),
      h(
        "div",
        { class: "work" },
        h("div", { class: "tab-bar" }, this.drawer, this.tabs, button("New terminal", { icon: "plus", only: true, shortcut: "Alt+Shift+H", on: () => this.find() })),
        this.stack,
        this.home,
      ),
    );
    this.element = element;
    this.#fold(innerWidth > 720 && app.settings.get("sidebar"), true);
    addEventListener("keydown", (event) => this.shortcut(event) && event.preventDefault());
    addEventListener("pagehide", () => this.#keep());
    // Browsers keep Ctrl+W for themselves, with which others delete a word.
    addEventListener("beforeunload", (event) => this.#losing() && event.preventDefault());
    new ResizeObserver(() => this.#edges()).observe(this.tabs);
    app.addEventListener("signedout", () => this.#leave());
    app.terminals = this;
    this.hosts.load();
    this.#restore();
    this.#arrange();
  }

  #keep() {
    if (this.left) return;
    const entries = this.panes.map((pane) => ({ pane, state: pane.kept() })).filter(({ state }) => state);
    keep(this.app.me?.user, entries.map(({ pane, state }) => ({ ...state, active: pane === this.current })));
  }

  #losing() {
    const { leaving, me, settings } = this.app;
    return !leaving && me && settings.get("askToLeave") && this.panes.some((pane) => pane.running && pane.role === "owner");
  }

  #restore() {
    const found = kept(this.app.me.user);
    for (const each of found) this.open(each, false);
    const active = found.findIndex((each) => each.active);
    if (found.length) this.show(this.panes[Math.max(0, active)]);
  }

  #leave() {
    this.left = true;
    forget();
  }

  /** Opens a terminal: `{host}` for a new session, with `session` and `role` for one that is there. */
  open(wanted, show = true) {
    const there = wanted.session && this.panes.find((pane) => pane.session === wanted.session && pane.running);
    if (there) return this.show(there);
    const pane = new Pane(this.app, { ...wanted, key: (event) => this.#mine(event) });
    this.panes.push(pane);
    this.stack.append(pane.element);
    pane.addEventListener("change", () => this.#changed(pane));
    pane.addEventListener("activity", () => this.#news(pane));
    pane.addEventListener("bell", () => this.#news(pane, true));
    pane.tab = this.#tab(pane);
    this.tabs.append(pane.tab);
    this.#edges();
    this.home.hidden = true;
    pane.start();
    this.#changed(pane);
    if (show) this.show(pane);
    else pane.show(false);
    return pane;
  }

  show(pane) {
    if (innerWidth <= 720) this.#fold(false, true);
    this.current = pane;
    for (const each of this.panes) {
      const on = each === pane;
      each.tab.classList.toggle("on", on);
      each.label.setAttribute("aria-selected", String(on));
      each.label.tabIndex = on ? 0 : -1;
      if (each !== pane) each.show(false);
    }
    pane.news = false;
    pane.tab.classList.remove("news", "bell");
    pane.show(true);
    pane.tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.#entitle();
    return pane;
  }

  async close(pane) {
    if (pane.running && pane.role === "owner" && pane.state !== "opening") {
      const answer = await this.app.dialog({
        title: `Close the terminal of ${pane.host}?`,
        text: "Its session may go on for a while without you: then you find it among the sessions.",
        icon: "terminal",
        actions: [
          { value: "cancel", label: "Cancel" },
          { value: "leave", label: "Keep it running" },
          { value: "end", label: "End it", kind: "danger" },
        ],
      });
      if (!answer) return;
      this.#drop(pane, answer.action === "end");
    } else this.#drop(pane, pane.state === "opening");
  }

  #drop(pane, end) {
    const index = this.panes.indexOf(pane);
    if (index < 0) return;
    this.panes.splice(index, 1);
    pane.close(end);
    pane.tab.remove();
    this.#edges();
    if (this.current === pane) {
      this.current = null;
      const next = this.panes[Math.min(index, this.panes.length - 1)];
      if (next) this.show(next);
    }
    this.#arrange();
    if (!this.panes.length) this.home.querySelector("button")?.focus();
  }

  // Tabs.

  /** A mouse's wheel goes through tabs that do not fit, and a shade says on which side there are more. */
  #wheel(event) {
    if (!event.deltaX) this.tabs.scrollLeft += event.deltaY;
  }

  #edges() {
    const { scrollLeft, scrollWidth, clientWidth } = this.tabs;
    this.tabs.classList.toggle("more-before", scrollLeft > 1);
    this.tabs.classList.toggle("more-after", scrollLeft + clientWidth < scrollWidth - 1);
  }

  #tab(pane) {
    pane.label = h(
      "button",
      { type: "button", class: "tab-label", role: "tab", id: `${pane.key}-tab`, "aria-controls": pane.key, on: { click: () => this.show(pane), auxclick: (event) => event.button === 1 && this.close(pane) } },
      h("span", { class: "dot" }),
      h("span", { class: "tab-name", text: pane.host }),
    );
    pane.element.setAttribute("aria-labelledby", `${pane.key}-tab`);
    return h("div", { class: "tab", role: "presentation" }, pane.label, button(`Close ${pane.host}`, { icon: "close", only: true, kind: "tab", on: () => this.close(pane) }, { tabindex: "-1" }));
  }

  #changed(pane) {
    if (!pane.label) return;
    pane.label.firstElementChild.className = `dot dot-${pane.state}`;
    const same = this.panes.filter((each) => each.host === pane.host);
    const more = same.length > 1 ? ` ${same.indexOf(pane) + 1}` : "";
    pane.label.lastElementChild.textContent = `${line(pane.host, 60)}${more}`;
    pane.label.title = [pane.host, pane.title, pane.role === "watcher" ? "watching" : ""].filter(Boolean).join(" · ");
    pane.tab.classList.toggle("asks", pane.questions.pending);
    this.hosts.mark(this.panes.filter((each) => each.running).map((each) => each.host));
    if (pane === this.current) this.#entitle();
  }

  #news(pane, bell = false) {
    if (pane === this.current && !document.hidden) return;
    pane.tab.classList.add(bell ? "bell" : "news");
  }

  #tabKey(event) {
    const index = this.panes.indexOf(this.current);
    const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: this.panes.length - 1 }[event.key];
    if (event.key === "Delete" && this.current) this.close(this.current);
    else if (to === undefined || !this.panes.length) return;
    else {
      this.show(this.panes[(to + this.panes.length) % this.panes.length]);
      this.current.label.focus();
    }
    event.preventDefault();
  }

  #entitle() {
    if (this.app.current?.id !== "terminals" || !this.current) return;
    this.app.entitle(this.current.title || this.current.host);
  }

  // Keys that are the page's, also where the terminal has the keyboard.

  #mine(event) {
    // Alt alone is the terminal's: Alt+1 is an argument to a shell, and a window of tmux, irssi or weechat.
    if (event.ctrlKey || event.metaKey || !event.altKey || !event.shiftKey) return false;
    return /^(Key[HFWKL]|Digit[1-9]|Arrow(Left|Right|Up|Down))$/.test(event.code);
  }

  shortcut(event) {
    if (!this.#mine(event) || this.app.current?.id !== "terminals" || document.querySelector("dialog[open]")) return false;
    const { code } = event;
    const { settings } = this.app;
    const index = this.panes.indexOf(this.current);
    if (code.startsWith("Digit")) {
      const pane = this.panes[Number(code.at(-1)) - 1];
      if (pane) this.show(pane);
    } else if (code === "KeyH") this.find();
    else if (code === "KeyF") this.current?.find.open();
    else if (code === "KeyW" && this.current) this.close(this.current);
    else if (FONT[code]) settings.set("fontSize", settings.get("fontSize") + FONT[code]);
    else if (code.startsWith("Arrow") && this.panes.length) {
      const step = code === "ArrowRight" ? 1 : this.panes.length - 1;
      this.show(this.panes[(index + step) % this.panes.length]);
    } else return false;
    return true;
  }

  // The sidebar, and what is shown without a terminal.

  find() {
    this.#fold(true);
    this.hosts.focus();
  }

  #drawer() {
    this.#fold(this.element.classList.contains("folded"));
  }

  #fold(open, passing = false) {
    this.element.classList.toggle("folded", !open);
    this.drawer.setAttribute("aria-expanded", String(open));
    if (!passing && innerWidth > 720) this.app.settings.set("sidebar", open);
  }

  async #arrange() {
    this.home.hidden = this.panes.length > 0;
    this.hosts.mark(this.panes.filter((each) => each.running).map((each) => each.host));
    if (this.panes.length) return;
    this.app.entitle(null);
    const running = h("div", { class: "home-running" });
    this.home.replaceChildren(
      h("div", { class: "empty" }, icon("terminal"), h("strong", { text: "No terminal is open" }), h("p", { text: "Choose a host from the list, or search for one." }), button("Search hosts", { icon: "search", kind: "primary", on: () => this.find() }), running),
    );
    const answer = await this.app.api.get("sessions").catch(() => null);
    const mine = (answer?.sessions ?? []).filter((each) => each.owner === this.app.me?.user && each.state !== "ended");
    if (!mine.length || this.panes.length) return;
    running.replaceChildren(
      h("h3", { text: "Still running" }),
      ...mine.slice(0, 8).map((each) =>
        h(
          "button",
          { type: "button", class: "running", on: { click: () => this.open({ host: each.host, session: each.id, role: "owner" }) } },
          h("span", { class: `dot dot-${each.state}` }),
          h("strong", { text: line(each.host, 80) }),
          h("span", { class: "running-age", text: `since ${duration(Date.now() / 1000 - each.started)}` }),
        ),
      ),
    );
  }

  shown() {
    if (!this.panes.length) this.#arrange();
    this.current?.show(true);
    this.#entitle();
  }

  hidden() {
    this.current?.questions.show(false);
  }
}

let terminals;

export default {
  id: "terminals",
  title: "Terminals",
  icon: "terminal",
  mount(element, app) {
    terminals = new Terminals(element, app);
  },
  shown: () => terminals.shown(),
  hidden: () => terminals.hidden(),
};
