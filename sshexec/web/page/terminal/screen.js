// The terminal itself: xterm.js with what it needs here, counted byte by byte so that it can be taken up again.

import { FitAddon } from "../vendor/xterm-addon-fit/addon-fit.mjs";
import { SearchAddon } from "../vendor/xterm-addon-search/addon-search.mjs";
import { SerializeAddon } from "../vendor/xterm-addon-serialize/addon-serialize.mjs";
import { Unicode11Addon } from "../vendor/xterm-addon-unicode11/addon-unicode11.mjs";
import { WebLinksAddon } from "../vendor/xterm-addon-web-links/addon-web-links.mjs";
import { Terminal } from "../vendor/xterm-xterm/xterm.mjs";
import { confirm, notify } from "../dialogs.js";
import { line } from "../elements.js";
import { chosen } from "./palettes.js";
import { Tail } from "./tail.js";

const KEPT_LINES = 1000; // of those above the screen, when the page is loaded anew
const SMALLEST_FONT = 6;
const encoder = new TextEncoder();

/**
 * One screen. `on` has `typed(Uint8Array)`, `titled(text)`, `sized({columns, rows})`, `rang()` and `key(event)`, which
 * says true for a key that is the page's and not the terminal's.
 */
export class Screen {
  constructor(settings, on) {
    this.settings = settings;
    this.on = on;
    this.seq = 0; // number of the next byte that xterm.js works off
    this.tail = new Tail();
    this.replayed = 0; // up to here bytes were shown before: what they ask of a terminal was answered then
    this.follows = false; // whether the size is another one's
    this.terminal = new Terminal({
      allowProposedApi: true,
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono").trim(),
      fontWeightBold: "600",
      // Else browsers cut off what lies lowest in a line, such as the underscore.
      lineHeight: 1.12,
      macOptionIsMeta: false,
      linkHandler: { activate: (event, address) => openLink(address), allowNonHttpProtocols: false },
    });
    this.fitting = this.#load(new FitAddon());
    this.search = this.#load(new SearchAddon());
    this.serializer = this.#load(new SerializeAddon());
    this.#load(new Unicode11Addon());
    this.#load(new WebLinksAddon((event, address) => openLink(address)));
    this.terminal.unicode.activeVersion = "11";
    this.terminal.onData((text) => this.#said(text));
    this.terminal.onBinary((text) => on.typed(Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 255)));
    this.terminal.onTitleChange((text) => on.titled(line(text, 200)));
    this.terminal.onBell(() => on.rang());
    this.terminal.onResize(({ cols, rows }) => this.follows || on.sized({ columns: cols, rows }));
    this.terminal.onSelectionChange(() => settings.get("copyOnSelect") && this.copy(true));
    this.terminal.attachCustomKeyEventHandler((event) => this.#key(event));
    this.changed = () => this.dress();
    settings.addEventListener("change", this.changed);
    this.dress();
  }

  #load(addon) {
    this.terminal.loadAddon(addon);
    return addon;
  }

  /** Puts the screen into the page. */
  open(element) {
    this.element = element;
    this.terminal.open(element);
    element.addEventListener("paste", (event) => this.#pasted(event), { capture: true });
    this.watcher = new ResizeObserver(() => this.#later());
    this.watcher.observe(element);
    this.dress();
  }

  dress() {
    const { options } = this.terminal;
    const { settings } = this;
    options.theme = chosen(settings).colours;
    options.cursorStyle = settings.get("cursor");
    options.cursorBlink = settings.get("blink");
    options.scrollback = settings.get("scrollback");
    options.screenReaderMode = settings.get("screenReader");
    options.minimumContrastRatio = 3;
    options.fontSize = settings.get("fontSize");
    this.element?.style.setProperty("background", options.theme.background);
    if (this.element) this.fit();
  }

  #later() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.fit());
  }

  get size() {
    return { columns: this.terminal.cols, rows: this.terminal.rows };
  }

  /** Has the terminal fill its place; or, where another one's size counts, has that one fit in. */
  fit() {
    if (!this.element?.isConnected || this.element.offsetParent === null) return;
    if (!this.follows) return void this.fitting.fit();
    const { options, cols, rows } = this.terminal;
    const wanted = this.settings.get("fontSize");
    options.fontSize = wanted;
    const room = this.fitting.proposeDimensions();
    if (!room?.cols) return;
    const share = Math.min(1, room.cols / cols, room.rows / rows);
    options.fontSize = Math.max(SMALLEST_FONT, Math.floor(wanted * share * 2) / 2);
  }

  /** Takes the size of whoever owns the session. */
  follow({ columns, rows }) {
    this.follows = true;
    this.terminal.resize(columns, rows);
    this.fit();
  }

  /** The size is ours (again). */
  lead() {
    if (!this.follows) return;
    this.follows = false;
    this.terminal.options.fontSize = this.settings.get("fontSize");
    this.fit();
    this.on.sized(this.size);
  }

  /**
   * Shows output.
   * @param {Uint8Array} data
   * @param {function(number)} done told how many bytes were worked off.
   */
  write(data, done) {
    this.next = this.since + data.length;
    this.terminal.write(data, () => {
      this.seq += data.length;
      this.tail.add(data);
      done(data.length);
    });
  }

  /** Hands on what was typed, and what xterm.js answers to questions of the program; but not to old ones. */
  #said(text) {
    // An answer comes out of no event of the browser's, which is how it differs from a key.
    if (this.seq < this.replayed && !window.event) return;
    this.on.typed(encoder.encode(text));
  }

  /** Whether nothing can be typed. */
  set muted(value) {
    this.terminal.options.disableStdin = value;
    this.terminal.options.cursorBlink = !value && this.settings.get("blink");
  }

  /** Bytes come that do not follow on what came before; the first one has this number. */
  reset(seq) {
    // In its turn: what was sent before it is written before it.
    this.terminal.write("", () => {
      this.terminal.reset();
      this.tail.clear();
      this.seq = seq;
    });
    this.next = seq;
  }

  /** The number of the first byte that a new connection should send: what has come is worked off, sooner or later. */
  get since() {
    return this.next ?? this.seq;
  }

  /** A connection sends from here on. */
  resume(seq) {
    if (seq === this.since) return;
    this.next = seq;
    this.terminal.write("", () => {
      this.seq = seq;
      this.tail.clear();
    });
  }

  /** What has to be kept to show all this again; what is half read of a sequence has to come again from its start. */
  snapshot() {
    const { columns, rows } = this.size;
    const screen = this.serializer.serialize({ scrollback: KEPT_LINES });
    return { screen, seq: this.seq - this.tail.unfinished(), columns, rows };
  }

  restore({ screen, seq, columns, rows }) {
    if (typeof screen !== "string" || !Number.isInteger(seq)) return;
    this.follows = true;
    this.terminal.resize(columns, rows);
    this.follows = false;
    this.terminal.write(screen);
    this.seq = seq;
    this.next = seq;
  }

  focus() {
    this.terminal.focus();
  }

  async copy(quietly = false) {
    const text = this.terminal.getSelection();
    if (!text) return;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without TLS browsers have the old way only; xterm.js answers it with the selection.
      document.execCommand("copy");
    }
    if (!quietly) notify("Copied.", { seconds: 2 });
  }

  #key(event) {
    if (event.type === "keydown" && event.ctrlKey && event.shiftKey && event.code === "KeyC" && !event.altKey) {
      event.preventDefault();
      this.copy();
      return false;
    }
    if (event.ctrlKey && event.shiftKey && event.code === "KeyV" && !event.altKey) return false;
    return !this.on.key(event);
  }

  async #pasted(event) {
    event.preventDefault();
    event.stopPropagation();
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (text) await this.paste(text);
  }

  /** Pastes; asks first where a shell would run several lines at once. */
  async paste(text) {
    // Else what was copied from a web page could say that the pasted part is over, and go on as if typed.
    // eslint-disable-next-line no-control-regex
    const clean = text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, "");
    const lines = clean.split(/\r\n|\r|\n/).length;
    if (lines > 1 && !this.terminal.modes.bracketedPasteMode) {
      const shown = clean.length > 600 ? `${clean.slice(0, 600)}…` : clean;
      if (!(await confirm(`Paste ${lines} lines?`, `The program takes each line as if you had pressed Enter:\n\n${shown}`, { yes: "Paste" }))) return;
    }
    this.terminal.paste(clean);
    this.focus();
  }

  /** The text on the screen and above it; for tests and for the clipboard. */
  text() {
    const buffer = this.terminal.buffer.active;
    return Array.from({ length: buffer.length }, (_, index) => buffer.getLine(index)?.translateToString(true) ?? "").join("\n");
  }

  dispose() {
    this.settings.removeEventListener("change", this.changed);
    this.watcher?.disconnect();
    cancelAnimationFrame(this.frame);
    this.terminal.dispose();
  }
}

async function openLink(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return;
  if (await confirm("Open this address?", url.href, { yes: "Open" })) window.open(url.href, "_blank", "noopener,noreferrer");
}
