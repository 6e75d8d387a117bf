// Runs: one task on many hosts, its answers as they come, and what ran before.

import { button, h, icon, line } from "../elements.js";
import { Composer } from "../runs/composer.js";
import { many, moment, runState, shownArgs } from "../runs/states.js";
import { RunPage } from "../runs/show.js";

const PAGE = 30;

class RunsView {
  constructor(element, app) {
    this.app = app;
    this.page = null;
    this.listed = [];
    this.next = null; // what older runs are asked for with; null where there are none
    document.head.append(h("link", { rel: "stylesheet", href: new URL("../runs/runs.css", import.meta.url).href }));
    this.composer = new Composer(app, (run) => this.started(run));
    this.list = h("ol", { class: "runs-list" });
    this.older = button("Older runs", { kind: "quiet", on: () => this.more() }, { hidden: true });
    this.fresh = h("div", { class: "runs-new" }, h("h1", { text: "New run" }), this.composer.element);
    this.place = h("div", { class: "runs-place", tabindex: "-1" });
    element.append(
      h(
        "div",
        { class: "runs" },
        h(
          "aside",
          { class: "runs-side", "aria-label": "Runs" },
          h("header", { class: "runs-side-head" }, h("h2", { text: "Runs" }), h("span", { class: "spacer" }), button("New run", { icon: "plus", kind: "primary", on: () => app.navigate("runs") })),
          this.list,
          this.older,
        ),
        this.place,
      ),
    );
  }

  async show(id) {
    this.page?.close();
    this.page = null;
    this.element = this.place.parentElement;
    this.element.classList.toggle("runs-one", Boolean(id));
    if (id) {
      this.page = new RunPage(this.app, id, { again: (run) => this.again(run), changed: () => this.refresh() });
      this.place.replaceChildren(this.page.element);
      this.page.open();
    } else {
      this.place.replaceChildren(this.fresh);
      this.composer.load().catch((error) => this.app.failed(error));
      this.offer();
    }
    this.mark(id);
    await this.refresh();
    this.mark(id);
  }

  hide() {
    this.page?.close();
    this.page = null;
    clearTimeout(this.timer);
  }

  /** Lists the runs, and looks again while some go on. */
  async refresh() {
    clearTimeout(this.timer);
    try {
      const { runs, next } = await this.app.api.get("runs", { limit: PAGE });
      // Older ones that were asked for stay where they are.
      const older = next === null ? [] : this.listed.filter((run) => run.started < next);
      if (!older.length) this.next = next;
      this.listed = [...runs, ...older];
      this.drawList();
      if (runs.some((run) => run.state === "running") && this.element?.isConnected && !this.element.closest("[hidden]")) {
        this.timer = setTimeout(() => this.refresh(), 3000);
      }
    } catch (error) {
      this.app.failed(error);
    }
  }

  async more() {
    const until = this.next;
    try {
      const { runs, next } = await this.app.api.get("runs", { limit: PAGE, until });
      if (this.next !== until) return; // asked twice
      this.next = next;
      this.listed.push(...runs);
      this.drawList();
    } catch (error) {
      this.app.failed(error);
    }
  }

  drawList() {
    this.list.replaceChildren(...this.listed.map((run) => entry(run)));
    this.older.hidden = this.next === null;
    if (!this.listed.length) this.list.append(h("li", { class: "runs-none" }, icon("runs"), h("span", { text: "Nothing has run yet." })));
    this.mark(this.page?.model.id);
  }

  mark(id) {
    for (const link of this.list.querySelectorAll("a")) {
      if (link.dataset.run === id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  started(run) {
    this.app.navigate(`runs/${run.id}`);
  }

  again(run) {
    this.app.navigate("runs");
    this.composer.again(run).catch((error) => this.app.failed(error));
  }

  async offer() {
    if (this.offered) return;
    this.offered = true;
    try {
      const { groups } = await this.app.api.get("hosts");
      this.composer.offerGroups((groups ?? []).map((group) => group.name));
    } catch {
      this.offered = false;
    }
  }
}

function entry(run) {
  const state = runState(run);
  const what = shownArgs(run.args);
  return h(
    "li",
    {},
    h(
      "a",
      { class: "runs-entry", href: `#/runs/${run.id}`, data: { run: run.id } },
      h("span", { class: "runs-entry-top" }, h("code", { class: "runs-module", text: line(run.module, 40) }), h("span", { class: "spacer" }), h("time", { text: moment(run.started) })),
      what ? h("code", { class: "runs-what", text: line(what, 160) }) : null,
      h(
        "span",
        { class: "runs-entry-foot" },
        h("span", { class: `badge badge-${state.tone}` }, run.state === "running" ? h("span", { class: "dot dot-opening" }) : null, state.label),
        h("span", { class: "muted", text: `${many(run.count, "host")}${run.user ? ` · ${line(run.user, 30)}` : ""}` }),
      ),
    ),
  );
}

let view = null;

export default {
  id: "runs",
  title: "Runs",
  icon: "runs",
  mount(element, app) {
    view = new RunsView(element, app);
  },
  shown(path = "") {
    view.show(/^[0-9a-f]{32}$/.test(path) ? path : "");
  },
  hidden() {
    view.hide();
  },
};
