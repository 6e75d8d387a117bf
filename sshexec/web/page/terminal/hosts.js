// The tree of hosts: groups that open, a search, and a row drawn only while it is in sight.

import { button, h, icon, line } from "../elements.js";

const ROW = 32; // pixels
const BEYOND = 10; // rows drawn above and below those in sight

/** The list at the left; calls `open(host)` for the host that is chosen. */
export class Hosts {
  constructor(app, open) {
    this.app = app;
    this.open = open;
    this.hosts = new Map();
    this.groups = new Map();
    this.expanded = new Set();
    this.rows = [];
    this.at = 0;
    this.marked = new Map(); // host -> how many terminals of it are open
    this.input = h("input", {
      type: "search",
      placeholder: "Search hosts",
      "aria-label": "Search hosts, by name, address or group",
      spellcheck: "false",
      autocomplete: "off",
      on: { input: () => this.#search(), keydown: (event) => this.#searchKey(event) },
    });
    this.canvas = h("div", { class: "tree-canvas" });
    this.tree = h(
      "div",
      { class: "tree", role: "tree", "aria-label": "Hosts", tabindex: "0", on: { scroll: () => this.#draw(), keydown: (event) => this.#key(event) } },
      this.canvas,
    );
    this.count = h("span", { class: "tree-count", "aria-live": "polite" });
    this.element = h(
      "aside",
      { class: "hosts", "aria-label": "Hosts" },
      h(
        "header",
        { class: "hosts-head" },
        h("h2", { text: "Hosts" }),
        this.count,
        h("span", { class: "spacer" }),
        button("Load anew", { icon: "refresh", only: true, on: () => this.load() }),
      ),
      h("label", { class: "search-box hosts-search" }, icon("search"), this.input),
      this.tree,
    );
    new ResizeObserver(() => this.#draw()).observe(this.tree);
  }

  async load() {
    this.element.setAttribute("aria-busy", "true");
    try {
      const { hosts, groups } = await this.app.api.get("hosts");
      this.hosts = new Map(hosts.map((host) => [host.name, host]));
      this.groups = new Map(groups.map((group) => [group.name, group]));
      this.failed = null;
      if (!this.loaded) this.#unfold();
      this.loaded = true;
    } catch (error) {
      this.failed = error.message;
      this.app.failed(error);
    }
    this.element.removeAttribute("aria-busy");
    this.#arrange();
  }

  /** At first: the top groups are open where that shows no more than a screenful. */
  #unfold() {
    if (this.hosts.size <= 60) for (const name of this.#tops()) this.expanded.add(name);
  }

  #tops() {
    const all = this.groups.get("all");
    const inner = new Set([...this.groups.values()].filter((group) => group !== all).flatMap((group) => group.children));
    const tops = [...this.groups.keys()].filter((name) => name !== "all" && !inner.has(name));
    const last = (name) => Number(name === "ungrouped");
    return tops.length || !all ? tops.sort((one, other) => last(one) - last(other)) : ["all"];
  }

  #arrange() {
    const words = this.input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    this.rows = words.length ? this.#found(words) : this.#folded();
    this.at = Math.min(this.at, Math.max(0, this.rows.length - 1));
    const hosts = this.rows.filter((row) => row.host).length;
    this.count.textContent = words.length ? `${hosts} of ${this.hosts.size}` : String(this.hosts.size);
    this.canvas.style.height = `${this.rows.length * ROW}px`;
    this.#draw();
  }

  #folded() {
    const rows = [];
    const seen = new Set();
    const visit = (name, level, path) => {
      const group = this.groups.get(name);
      if (!group || path.includes(name) || level > 30) return;
      const open = this.expanded.has(name);
      rows.push({ group, level, open, total: this.#total(name).size });
      if (!open) return;
      for (const child of group.children) visit(child, level + 1, [...path, name]);
      for (const host of group.hosts) if (this.hosts.has(host)) rows.push({ host: this.hosts.get(host), level: level + 1 });
    };
    for (const name of this.#tops()) {
      visit(name, 1, []);
      for (const host of this.#total(name)) seen.add(host);
    }
    // Those in no group of their own.
    for (const host of this.hosts.values()) if (!seen.has(host.name)) rows.push({ host, level: 1 });
    return rows;
  }

  #total(name, found = new Set(), path = new Set()) {
    const group = this.groups.get(name);
    if (!group || path.has(name)) return found;
    path.add(name);
    for (const host of group.hosts) found.add(host);
    for (const child of group.children) this.#total(child, found, path);
    return found;
  }

  #found(words) {
    const of = new Map();
    for (const group of this.groups.values()) {
      for (const host of group.hosts) of.set(host, `${of.get(host) ?? ""} ${group.name}`);
    }
    const rows = [];
    for (const host of this.hosts.values()) {
      const text = `${host.name} ${host.address ?? ""} ${of.get(host.name) ?? ""}`.toLowerCase();
      if (words.every((word) => text.includes(word))) rows.push({ host, level: 1, words });
    }
    return rows.sort((one, other) => rank(one, words) - rank(other, words));
  }

  #draw() {
    const top = Math.max(0, Math.floor(this.tree.scrollTop / ROW) - BEYOND);
    const end = Math.min(this.rows.length, Math.ceil((this.tree.scrollTop + this.tree.clientHeight) / ROW) + BEYOND);
    const drawn = [];
    for (let index = top; index < end; index += 1) drawn.push(this.#row(this.rows[index], index));
    if (!this.rows.length && (this.loaded || this.failed)) {
      const text = this.hosts.size ? "No host is called that." : "There are no hosts that you may see.";
      drawn.push(h("p", { class: "tree-none", text: this.failed ?? text }));
    }
    this.canvas.replaceChildren(...drawn);
    if (this.rows.length) this.tree.setAttribute("aria-activedescendant", `tree-row-${this.at}`);
    else this.tree.removeAttribute("aria-activedescendant");
  }

  #row(row, index) {
    const { host, group } = row;
    const open = host ? this.marked.get(host.name) ?? 0 : 0;
    const problem = host && (host.problem ?? (host.terminal ? null : "Terminals are not possible on this host."));
    const element = h(
      "div",
      {
        id: `tree-row-${index}`,
        class: `tree-row ${index === this.at ? "current" : ""} ${problem ? "off" : ""}`,
        role: "treeitem",
        "aria-level": row.level,
        "aria-setsize": this.rows.length,
        "aria-posinset": index + 1,
        "aria-expanded": group ? String(row.open) : null,
        "aria-selected": String(index === this.at),
        "aria-disabled": problem ? "true" : null,
        title: problem ?? (host ? hint(host) : null),
        on: { click: () => (this.#go(index), this.#act(row)) },
      },
      group ? icon("chevron") : null,
      h("span", { class: open ? "tree-mark open" : "tree-mark" }, icon(group ? "folder" : "host")),
      // An address for which there is no room lies on a second line that nobody sees: the name comes first.
      h(
        "span",
        { class: "tree-text" },
        h("span", { class: "tree-name", text: line((host ?? group).name, 200) }),
        group ? h("span", { class: "tree-total", text: String(row.total) }) : null,
        host?.address && host.address !== host.name ? h("span", { class: "tree-address", text: line(host.address, 80) }) : null,
      ),
    );
    element.style.top = `${index * ROW}px`;
    element.style.setProperty("--level", row.level);
    return element;
  }

  #act(row) {
    if (row.group) {
      const { name } = row.group;
      if (!this.expanded.delete(name)) this.expanded.add(name);
      this.#arrange();
    } else if (row.host.problem || !row.host.terminal) {
      this.app.notify(`${row.host.name}: ${row.host.problem ?? "terminals are not possible on this host."}`, { level: "warning" });
    } else this.open(row.host.name);
  }

  #go(index) {
    if (!this.rows.length) return;
    this.at = Math.max(0, Math.min(this.rows.length - 1, index));
    const top = this.at * ROW;
    if (top < this.tree.scrollTop) this.tree.scrollTop = top;
    else if (top + ROW > this.tree.scrollTop + this.tree.clientHeight) this.tree.scrollTop = top + ROW - this.tree.clientHeight;
    this.#draw();
  }

  #parent() {
    const { level } = this.rows[this.at];
    for (let index = this.at - 1; index >= 0; index -= 1) if (this.rows[index].level < level) return index;
    return this.at;
  }

  #key(event) {
    const row = this.rows[this.at];
    if (!row || event.ctrlKey || event.altKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.tree.clientHeight / ROW) - 1);
    const actions = {
      ArrowDown: () => this.#go(this.at + 1),
      ArrowUp: () => this.#go(this.at - 1),
      PageDown: () => this.#go(this.at + page),
      PageUp: () => this.#go(this.at - page),
      Home: () => this.#go(0),
      End: () => this.#go(this.rows.length - 1),
      ArrowRight: () => (row.group && !row.open ? this.#act(row) : this.#go(this.at + (row.group ? 1 : 0))),
      ArrowLeft: () => (row.group && row.open ? this.#act(row) : this.#go(this.#parent())),
      Enter: () => this.#act(row),
      " ": () => this.#act(row),
    };
    if (actions[event.key]) {
      event.preventDefault();
      actions[event.key]();
    } else if (event.key.length === 1 && event.key.trim()) {
      // Whoever types in the tree is looking for something.
      this.input.focus();
    }
  }

  #search() {
    this.at = 0;
    this.tree.scrollTop = 0;
    this.#arrange();
  }

  #searchKey(event) {
    if (event.key === "ArrowDown") this.tree.focus();
    else if (event.key === "Enter" && this.rows[this.at]) this.#act(this.rows[this.at]);
    else if (event.key === "Escape" && this.input.value) {
      this.input.value = "";
      this.#search();
    } else return;
    event.preventDefault();
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  /** Says of which hosts terminals are open. */
  mark(names) {
    this.marked = new Map();
    for (const name of names) this.marked.set(name, (this.marked.get(name) ?? 0) + 1);
    this.#draw();
  }
}

function hint(host) {
  return [host.name, host.address, host.connection === "ssh" ? null : host.connection].filter(Boolean).join(" · ");
}

/** Those whose name begins with what was typed come first. */
function rank(row, words) {
  const name = row.host.name.toLowerCase();
  if (name === words[0]) return 0;
  if (name.startsWith(words[0])) return 1;
  return name.includes(words[0]) ? 2 : 3;
}
