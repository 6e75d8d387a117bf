// One recording: the player, its speed, and the commands that were typed, each a place to go to.

import { button, bytes, duration, h, icon, line } from "../elements.js";
import { PALETTES } from "../terminal/palettes.js";
import { shortened } from "./cast.js";

const SPEEDS = [0.5, 1, 2, 4, 8, 16];
const PAUSE = 2; // seconds that a pause has where long ones are skipped
const LARGE = 64e6; // bytes that are played without asking
const VENDOR = new URL("../vendor/asciinema-player/", import.meta.url);
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

let loading = null;

/** The player's own script, which is none that could be imported. */
function library() {
  loading ??= new Promise((resolve, reject) => {
    document.head.append(h("link", { rel: "stylesheet", href: new URL("asciinema-player.css", VENDOR).href }));
    const script = h("script", { src: new URL("asciinema-player.min.js", VENDOR).href });
    script.addEventListener("load", () => resolve(window.AsciinemaPlayer));
    script.addEventListener("error", () => {
      loading = null; // the next recording tries again
      reject(new Error("the player could not be loaded"));
    });
    document.head.append(script);
  });
  return loading;
}

export class PlayerPage {
  /** @param {string} search text whose commands are marked. */
  constructor(app, name, search) {
    this.app = app;
    this.name = name;
    this.search = search.toLowerCase();
    this.player = null;
    this.closed = false;
    this.text = null;
    this.stop = new AbortController();
    this.title = h("h1", { text: "Recording" });
    this.about = h("p", {});
    this.stage = h("div", { class: "player-stage", tabindex: "-1" });
    this.commands = h("ol", { class: "player-commands" });
    this.speed = h("select", { "aria-label": "Speed", on: { change: () => this.#again() } }, ...SPEEDS.map((each) => h("option", { value: each, text: `${each}×`, selected: each === 1 })));
    this.skip = h("input", { type: "checkbox", id: "player-skip", checked: true, on: { change: () => this.#again() } });
    this.save = button("Download", { icon: "download", on: () => this.#download() });
    this.element = h(
      "div",
      { class: "player" },
      h(
        "header",
        { class: "player-head" },
        button("All recordings", { icon: "back", only: true, on: () => app.navigate("recordings") }),
        h("div", { class: "player-title" }, this.title, this.about),
        h("span", { class: "spacer" }),
        h("label", { class: "player-skip", for: "player-skip" }, this.skip, "Skip pauses"),
        h("label", { class: "player-speed" }, h("span", { text: "Speed" }), this.speed),
        this.save,
      ),
      h(
        "div",
        { class: "player-body" },
        this.stage,
        h("aside", { class: "player-side", "aria-label": "Commands" }, h("h3", { text: "Commands" }), this.commands, h("p", { class: "player-note", text: "As far as they could be seen from outside: what runs in scripts, editors or without echo is not here." })),
      ),
    );
  }

  async open() {
    try {
      const recorded = await this.app.api.get(`recordings/${encodeURIComponent(this.name)}/commands`);
      if (this.closed) return;
      this.#describe(recorded);
      if (recorded.bytes > LARGE && !(await this.app.confirm("Play a large recording?", `It has ${bytes(recorded.bytes)}, all of which this page would hold.`, { yes: "Play" }))) {
        return this.#say("Not loaded.");
      }
      this.#say("Loading…");
      const told = (size, total) => this.#say(`Loading… ${bytes(size)}${total ? ` of ${bytes(total)}` : ""}`);
      const blob = await this.app.api.download(`recordings/${encodeURIComponent(this.name)}`, {}, told, this.stop.signal);
      this.text = await blob.text();
      this.library = await library();
      if (!this.closed) this.#play(0, true);
    } catch (error) {
      if (this.closed) return;
      this.#say(error.status === 404 ? "There is no such recording." : "It can't be played.");
      this.app.failed(error);
    }
  }

  close() {
    this.closed = true;
    this.stop.abort();
    this.#dispose();
  }

  #describe(recorded) {
    const host = line(recorded.host, 100);
    this.title.textContent = host;
    this.app.entitle(`Recording of ${host}`);
    const when = new Date(recorded.started * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const facts = [line(recorded.owner || "?", 60), when, duration(recorded.seconds), bytes(recorded.bytes)];
    if (recorded.state === "running") facts.push("still running");
    if (recorded.state === "broken") facts.push("broken off");
    if (recorded.reason === "full") facts.push("as large as it may be");
    this.about.textContent = facts.join(" · ");
    const items = recorded.commands.map((each) => this.#command(each));
    this.commands.replaceChildren(...(items.length ? items : [h("li", { class: "player-none", text: "None was seen." })]));
  }

  #command(each) {
    const hit = this.search && each.text.toLowerCase().includes(this.search);
    return h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: `player-command ${hit ? "player-hit" : ""}`, title: line(each.text, 400), on: { click: () => this.#go(each.at) } },
        h("time", { text: clock(each.at) }),
        h("code", { text: line(each.text, 300) }),
      ),
    );
  }

  #say(text) {
    this.stage.replaceChildren(h("p", { class: "player-say", role: "status" }, icon("recordings"), text));
  }

  /** @param {number} moment of the recording. */
  #play(moment, playing) {
    this.#dispose();
    this.cast = shortened(this.text, this.skip.checked ? PAUSE : Number.POSITIVE_INFINITY);
    const place = h("div", { class: "player-place" });
    this.stage.replaceChildren(place);
    this.#colour(place);
    this.player = this.library.create({ data: this.cast.text }, place, {
      autoPlay: playing,
      startAt: this.cast.at(moment),
      preload: true,
      speed: Number(this.speed.value),
      fit: "both",
      theme: "sshexec",
      controls: true,
      terminalFontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    });
    this.playing = playing;
    this.player.addEventListener("play", () => (this.playing = true));
    this.player.addEventListener("pause", () => (this.playing = false));
    this.player.addEventListener("ended", () => (this.playing = false));
    place.querySelector(".ap-player")?.focus({ preventScroll: true });
  }

  /** Plays on where it is, with what was chosen meanwhile; the player takes its speed only when it is made. */
  async #again() {
    if (!this.player) return;
    const moment = this.cast.original(await this.player.getCurrentTime());
    if (!this.closed) this.#play(moment, this.playing);
  }

  async #go(moment) {
    if (!this.player) return;
    // A little before Enter, so that one sees it typed.
    await this.player.seek(Math.max(0, this.cast.at(moment) - 1));
    this.player?.play();
  }

  /** The colours of the terminals; the player's theme takes them from there (recordings.css). */
  #colour(place) {
    const { settings } = this.app;
    const chosen = settings.get("palette");
    const palette = PALETTES[chosen] ?? PALETTES[settings.shade === "light" ? "day" : "night"];
    const set = (name, value) => place.style.setProperty(`--cast-${name}`, value);
    set("background", palette.colours.background);
    set("foreground", palette.colours.foreground);
    COLOURS.forEach((name, index) => {
      set(index, palette.colours[name]);
      set(index + 8, palette.colours[`bright${name[0].toUpperCase()}${name.slice(1)}`]);
    });
  }

  #download() {
    const link = h("a", { href: this.app.api.url(`recordings/${encodeURIComponent(this.name)}`), download: `${this.name}.cast` });
    document.body.append(link);
    link.click();
    link.remove();
  }

  #dispose() {
    this.player?.dispose();
    this.player = null;
  }
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return `${hours ? `${hours}:` : ""}${hours ? two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)}:${two(whole % 60)}`;
}
