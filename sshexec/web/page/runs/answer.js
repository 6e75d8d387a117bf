// A card for hosts that answered the same: who they are, and what they said.

import { button, h, icon, line } from "../elements.js";
import { byName, hostState, many, plain, seconds } from "./states.js";

const NAMED = 8;
const LINES = 14;

/** A card; `update()` shows who has joined since. */
export class AnswerCard {
  constructor(app, model, answer) {
    this.app = app;
    this.model = model;
    this.answer = answer;
    this.count = 0;
    const state = hostState(answer.status);
    this.heading = h("h2", { class: "answer-count" });
    this.names = h("p", { class: "answer-hosts" });
    this.times = h("span", { class: "answer-times" });
    this.more = button("Name all", { kind: "quiet", on: () => this.toggleNames() });
    this.element = h(
      "article",
      { class: `card answer answer-${state.tone || "plain"}`, data: { answer: answer.number } },
      h(
        "header",
        { class: "answer-head" },
        h("span", { class: `badge badge-${state.tone}` }, h("span", { text: state.label })),
        this.heading,
        answer.rc !== null && answer.rc !== 0 ? h("span", { class: "badge", text: `exit ${answer.rc}` }) : null,
        answer.phase ? h("span", { class: "badge", text: `while ${answer.phase}` }) : null,
        h("span", { class: "spacer" }),
        this.times,
        button("Copy what they said", { icon: "copy", only: true, on: () => this.copy() }),
      ),
      h("div", { class: "answer-who" }, this.names, this.more),
      ...said(answer),
      this.files(),
    );
  }

  /** Where not all is shown: what the first of the hosts printed, as a file. */
  files() {
    const { answer, model } = this;
    if (!answer.truncated || !model.run.recorded) return null;
    const host = this.members[0];
    const links = ["stdout", "stderr"].filter((stream) => answer[stream]).map((stream) =>
      h("a", { class: "button", download: `${line(host, 60)}-${stream}.txt`, href: this.app.api.url(`runs/${model.id}/output`, { host, stream }) }, icon("download"), h("span", { text: `All of ${stream === "stdout" ? "the output" : "standard error"}, as a file` })),
    );
    return links.length ? h("p", { class: "answer-files" }, ...links) : null;
  }

  get members() {
    return this.model.members.get(this.answer.number) ?? [];
  }

  update() {
    const members = this.members;
    if (members.length === this.count) return;
    this.count = members.length;
    this.heading.textContent = many(members.length, "host");
    const times = members.map((name) => this.model.hosts.get(name)?.seconds).filter((each) => typeof each === "number");
    const [least, most] = [Math.min(...times), Math.max(...times)];
    this.times.textContent = !times.length ? "" : seconds(least) === seconds(most) ? seconds(least) : `${seconds(least).replace(" s", "")} – ${seconds(most)}`;
    this.name();
  }

  name() {
    const members = [...this.members].sort(byName);
    const shown = this.whole ? members : members.slice(0, NAMED);
    this.names.replaceChildren(...shown.map((name) => h("code", { class: "host-name", text: line(name, 80) })));
    if (shown.length < members.length) this.names.append(h("span", { class: "muted", text: `and ${members.length - shown.length} more` }));
    this.more.hidden = members.length <= NAMED;
    this.more.querySelector("span").textContent = this.whole ? "Name fewer" : "Name all";
    this.more.setAttribute("aria-expanded", String(Boolean(this.whole)));
  }

  toggleNames() {
    this.whole = !this.whole;
    this.name();
  }

  async copy() {
    const { msg, stdout, stderr, difference, data } = this.answer;
    try {
      await navigator.clipboard.writeText([stdout, stderr, stdout || stderr ? "" : msg, difference, data].filter(Boolean).join("\n"));
      this.app.notify("Copied.", { level: "success", seconds: 2 });
    } catch {
      this.app.notify("The browser does not let this page copy.", { level: "warning" });
    }
  }
}

/** What an answer says, block by block. */
export function said(answer) {
  const blocks = [];
  const text = (answer.msg ?? "").trim();
  const dull = !text || (answer.rc !== null && text === "non-zero return code");
  if (!dull) blocks.push(h("p", { class: `answer-message ${hostState(answer.status).tone === "bad" ? "answer-message-bad" : ""}`, text: plain(text) }));
  if (answer.stdout) blocks.push(block("Output", answer.stdout));
  if (answer.stderr) blocks.push(block("Standard error", answer.stderr, "block-error"));
  if (answer.difference) blocks.push(block("Difference", answer.difference, "block-difference", difference));
  if (answer.data) blocks.push(block("Answer", answer.data));
  for (const each of answer.warnings) blocks.push(note("warning", each));
  for (const each of answer.notices) blocks.push(note("shield", each));
  if (answer.truncated) blocks.push(note("info", "Not all of it is shown here."));
  if (!blocks.length && dull) blocks.push(h("p", { class: "muted answer-nothing", text: answer.rc === null ? "Nothing to say." : "Nothing was printed." }));
  return blocks;
}

function note(picture, text) {
  return h("p", { class: "answer-note" }, icon(picture), h("span", { text: plain(text) }));
}

function block(title, text, kind = "", fill = null) {
  const clean = plain(text);
  const lines = clean.split("\n").length;
  const pre = h("pre", { class: "block-text", tabindex: "0", "aria-label": title });
  if (fill) fill(pre, clean);
  else pre.textContent = clean;
  const element = h("div", { class: `block ${kind}` }, kind === "" && title === "Output" ? null : h("h3", { text: title }), pre);
  if (lines > LINES) {
    pre.classList.add("block-cut");
    const toggle = button(`All ${many(lines, "line")}`, {
      icon: "down",
      kind: "quiet",
      on: () => {
        const open = pre.classList.toggle("block-cut");
        toggle.querySelector("span").textContent = open ? `All ${many(lines, "line")}` : "Less";
        toggle.setAttribute("aria-expanded", String(!open));
      },
    });
    toggle.setAttribute("aria-expanded", "false");
    element.append(toggle);
  }
  return element;
}

function difference(pre, text) {
  for (const each of text.split("\n")) {
    const kind = /^(\+\+\+|---)/.test(each) ? "head" : { "+": "added", "-": "removed", "@": "place" }[each[0]] ?? "same";
    pre.append(h("span", { class: `difference-${kind}`, text: `${each}\n` }));
  }
}
