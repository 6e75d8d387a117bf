// A new run: on which hosts, with which module, with which arguments.

import { button, h, icon, line } from "../elements.js";
import { argumentFields } from "./arguments.js";
import { many } from "./states.js";

const PAUSE = 250;
const CHIPS = 40;
const COMMON = ["shell", "command", "ping", "copy", "file", "setup", "stat"];

const OPTIONS = [
  ["check", "Only check", "Say what would change, and change nothing"],
  ["diff", "Show differences", "Of files that change"],
  ["become", "As another user", "root, unless another one is named"],
];

/** The form; calls `started(run)` with what the server says of a run that was begun. */
export class Composer {
  constructor(app, started) {
    this.app = app;
    this.started = started;
    this.modules = new Map();
    this.module = null;
    this.mode = "form";
    this.asked = 0;
    this.choice = null;
    this.build();
  }

  /** Fetches the modules, once: a second time would empty the form. */
  load() {
    this.loading ??= this.fetchModules().catch((error) => {
      this.loading = null;
      throw error;
    });
    return this.loading;
  }

  async fetchModules() {
    const { modules } = await this.app.api.get("modules");
    this.modules = new Map(modules.map((module) => [module.name, module]));
    this.fillModules();
    this.pick(this.modules.has("shell") ? "shell" : modules[0]?.name);
  }

  build() {
    this.pattern = h("input", {
      id: "run-pattern",
      type: "text",
      class: "mono",
      placeholder: "all",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      maxlength: "4096",
      "aria-describedby": "run-hosts",
      on: { input: () => this.patternChanged() },
    });
    this.hosts = h("div", { id: "run-hosts", class: "composer-hosts", role: "status" });
    this.groups = h("div", { class: "composer-groups" });
    this.modulePicker = h("select", { id: "run-module", on: { change: () => this.pick(this.modulePicker.value) } });
    this.quick = h("div", { class: "segments", role: "group", "aria-label": "Modules that are used most" });
    this.summary = h("p", { class: "muted composer-summary" });
    this.fields = h("div", { class: "composer-fields" });
    this.modes = h(
      "div",
      { class: "segments segments-small", role: "group", "aria-label": "How to give the arguments" },
      ...[["form", "Form"], ["text", "Text"]].map(([name, label]) =>
        h("button", { type: "button", class: "segment", text: label, data: { mode: name }, on: { click: () => this.setMode(name) } }),
      ),
    );
    this.switches = new Map(
      OPTIONS.map(([name]) => [name, h("input", { type: "checkbox", id: `run-${name}`, on: { change: () => this.optionsChanged() } })]),
    );
    this.becomeUser = h("input", { id: "run-become-user", type: "text", class: "mono", placeholder: "root", autocomplete: "off", spellcheck: "false", "aria-label": "As whom" });
    this.timeout = h("input", { id: "run-timeout", type: "number", min: "1", step: "any", placeholder: "no limit" });
    this.serial = h("input", { id: "run-serial", type: "text", placeholder: "all at once", autocomplete: "off" });
    this.reason = h("input", { id: "run-reason", type: "text", placeholder: "a ticket, say", autocomplete: "off", maxlength: "500" });
    this.go = button("Run", { icon: "runs", kind: "primary", shortcut: "Ctrl+Enter" }, { type: "submit", class: "button button-primary composer-go" });
    this.problem = h("p", { class: "composer-problem", role: "alert" });
    this.element = h(
      "form",
      {
        class: "composer card",
        "aria-label": "New run",
        novalidate: true,
        on: { submit: (event) => (event.preventDefault(), this.submit()), keydown: (event) => this.key(event) },
      },
      h(
        "div",
        { class: "composer-part" },
        h("label", { for: "run-pattern", class: "composer-label", text: "Hosts" }),
        h("div", {}, h("span", { class: "search-box" }, icon("host"), this.pattern), this.groups, this.hosts),
      ),
      h(
        "div",
        { class: "composer-part" },
        h("label", { for: "run-module", class: "composer-label", text: "Module" }),
        h("div", {}, h("div", { class: "composer-modules" }, this.quick, this.modulePicker), this.summary),
      ),
      h(
        "div",
        { class: "composer-part" },
        h("span", { class: "composer-label" }, h("span", { text: "Arguments" }), this.modes),
        this.fields,
      ),
      h(
        "div",
        { class: "composer-part" },
        h("span", { class: "composer-label", text: "Options" }),
        h("div", {}, h("div", { class: "composer-options" }, ...OPTIONS.map((each) => this.option(...each))), this.further()),
      ),
      h("footer", { class: "composer-foot" }, this.problem, h("span", { class: "spacer" }), this.go),
    );
    this.patternChanged();
  }

  option(name, label, title) {
    const input = this.switches.get(name);
    const more = name === "become" ? h("span", { class: "composer-become", hidden: true, ref: (each) => (this.becomeField = each) }, this.becomeUser) : null;
    return h("span", { class: "field field-check", title }, input, h("label", { for: input.id, text: label }), more);
  }

  further() {
    const field = (input, label, hint) => h("div", { class: "field" }, h("label", { for: input.id, text: label }), input, h("small", { text: hint }));
    return h(
      "details",
      { class: "composer-more" },
      h("summary", { text: "More options" }),
      h(
        "div",
        { class: "composer-grid" },
        field(this.timeout, "Time limit", "Seconds for each host"),
        field(this.serial, "At once", "Hosts together: 5, or 20%"),
        field(this.reason, "Reason", "For the record"),
      ),
    );
  }

  fillModules() {
    const names = [...this.modules.keys()];
    const groups = [
      ["Often used", names.filter((name) => COMMON.includes(name))],
      ["Others", names.filter((name) => !COMMON.includes(name) && this.modules.get(name).hosts !== "windows")],
      ["Windows", names.filter((name) => this.modules.get(name).hosts === "windows")],
    ];
    this.modulePicker.replaceChildren(
      ...groups.filter(([, members]) => members.length).map(([label, members]) => h("optgroup", { label }, ...members.map((name) => h("option", { value: name, text: name })))),
    );
    this.quick.replaceChildren(
      ...COMMON.filter((name) => this.modules.has(name)).map((name) =>
        h("button", { type: "button", class: "segment", text: name, data: { module: name }, on: { click: () => this.pick(name) } }),
      ),
    );
  }

  /** Takes a module; returns whether there is one of that name. */
  pick(name, args = null) {
    const module = this.modules.get(name);
    if (!module) return false;
    this.module = module;
    this.modulePicker.value = name;
    for (const each of this.quick.children) each.setAttribute("aria-pressed", String(each.dataset.module === name));
    this.summary.textContent = module.summary;
    this.setMode(typeof args === "string" && !module.free_form ? "text" : "form", args);
    return true;
  }

  setMode(mode, args = null) {
    if (!this.module) return; // they are on their way
    const before = args ?? (mode === this.mode || !this.input ? null : this.input.carried?.() ?? null);
    this.mode = mode;
    for (const each of this.modes.children) each.setAttribute("aria-pressed", String(each.dataset.mode === mode));
    this.input = argumentFields(this.module, mode, before);
    this.fields.replaceChildren(this.input.element);
    this.modes.hidden = !this.module.parameters.length;
  }

  optionsChanged() {
    this.becomeField.hidden = !this.switches.get("become").checked;
  }

  patternChanged() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.preview(), this.pattern.value.trim() ? PAUSE : 0);
  }

  /** Shows which hosts the pattern means, as one types. */
  async preview() {
    const pattern = this.pattern.value.trim();
    const mine = ++this.asked;
    if (!pattern) return this.show({ hint: "Names, groups and patterns: web, db*, web:&prod:!web3, web[0:4]" });
    try {
      const choice = await this.app.api.get("runs/hosts", { pattern });
      if (mine === this.asked) this.show(choice.problem ? { problem: choice.problem } : { choice });
    } catch (error) {
      if (mine === this.asked && error.status !== 401) this.show({ problem: error.message });
    }
    return null;
  }

  show({ choice = null, hint = "", problem = "" }) {
    this.choice = choice;
    const chips = choice ? [...choice.hosts.slice(0, CHIPS).map((name) => chip(name)), ...choice.locked.slice(0, 8).map((name) => chip(name, true))] : [];
    const rest = choice ? choice.count + choice.locked_count - chips.length : 0;
    if (rest > 0) chips.push(h("span", { class: "muted", text: `and ${rest} more` }));
    this.hosts.replaceChildren(
      choice ? h("strong", { class: choice.count ? "" : "composer-none", text: counted(choice) }) : h("span", { class: problem ? "composer-none" : "muted", text: problem || hint }),
      chips.length ? h("span", { class: "composer-chips" }, ...chips) : "",
    );
    this.go.querySelector("span").textContent = choice?.count ? `Run on ${many(choice.count, "host")}` : "Run";
    this.go.disabled = !choice?.count;
  }

  /** Offers the groups there are, to begin with. */
  offerGroups(groups) {
    const names = ["all", ...groups.filter((name) => !["all", "ungrouped"].includes(name)).slice(0, 11)];
    this.groups.replaceChildren(
      ...names.map((name) => h("button", { type: "button", class: "chip chip-button", text: line(name, 40), on: { click: () => this.setPattern(name) } })),
    );
  }

  setPattern(pattern) {
    this.pattern.value = pattern;
    clearTimeout(this.timer);
    this.preview();
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "Enter" && event.target instanceof HTMLInputElement && event.target.type !== "checkbox") {
      event.preventDefault(); // a run is started on purpose only
    }
  }

  order() {
    const order = { pattern: this.pattern.value.trim(), module: this.module.name, args: this.input.value() };
    for (const [name, input] of this.switches) if (input.checked) order[name] = true;
    if (order.become && this.becomeUser.value.trim()) order.become_user = this.becomeUser.value.trim();
    if (this.timeout.value) order.timeout = Number(this.timeout.value);
    const serial = this.serial.value.trim();
    if (serial) order.serial = /^\d+$/.test(serial) ? Number(serial) : serial;
    if (this.reason.value.trim()) order.reason = this.reason.value.trim();
    return order;
  }

  async submit() {
    if (this.go.disabled || this.busy || !this.module) return;
    this.problem.textContent = "";
    let order;
    try {
      order = this.order();
    } catch (error) {
      this.problem.textContent = error.message;
      return;
    }
    this.busy = true;
    this.go.disabled = true;
    try {
      this.started(await this.app.api.post("runs", order));
    } catch (error) {
      this.problem.textContent = error.status === undefined ? "Something went wrong on this page." : error.message;
    } finally {
      this.busy = false;
      this.go.disabled = !this.choice?.count;
    }
  }

  /** Fills the form with an earlier run, to be changed and run again. */
  async again(run) {
    await this.load();
    this.setPattern(run.pattern);
    const offered = this.pick(run.module, run.args);
    for (const [name, input] of this.switches) input.checked = Boolean(run[name]);
    this.becomeUser.value = run.become_user ?? "";
    this.reason.value = run.reason ?? "";
    this.optionsChanged();
    const hidden = JSON.stringify(run.args ?? "").includes("********");
    if (!offered) this.problem.textContent = `The module ${line(run.module, 80)} is not offered here: another one is chosen.`;
    else this.problem.textContent = hidden ? "What was hidden (********) has to be given again." : "";
  }
}

function counted(choice) {
  const locked = choice.locked_count ? `, and ${many(choice.locked_count, "host")} on which you may run nothing` : "";
  return `${many(choice.count, "host")}${locked}`;
}

function chip(name, locked = false) {
  return h("span", { class: `chip ${locked ? "chip-locked" : ""}`, title: locked ? "You may not run anything there" : null }, locked ? icon("lock") : null, h("span", { text: line(name, 60) }));
}
