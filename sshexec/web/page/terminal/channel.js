// One session's WebSocket (`sshexec.term.v1`, docs/web-protocol.md), made anew whenever it breaks.

const PROTOCOL = "sshexec.term.v1";
const PIECE = 32 * 1024; // bytes of input in one message; the server takes 64 KiB at most
const PING = 20000; // milliseconds
const SILENCE = 15000; // milliseconds without an answer to a ping after which the way is taken for dead
const READY = 30000; // milliseconds that a WebSocket may take until the server is ready
const FIRST_DELAY = 400;
const LONGEST_DELAY = 15000;

/** Closed for good: what is said to people, where the server's messages have not said it yet. */
const FINAL = {
  1000: "",
  1002: "This page and the server do not understand each other. Load the page anew.",
  1007: "This page and the server do not understand each other. Load the page anew.",
  1008: "The server did not accept what this page sent.",
  4002: "You are not allowed to do that.",
  4003: "The session's time is over.",
  4004: "The session was terminated.",
  4006: "The session was opened somewhere else.",
  4008: "There are too many sessions.",
  4009: "The session is over.",
  4010: "You were sent away from this session.",
  4011: "You are not signed in any more.",
};

/**
 * A connection to a session.
 *
 * `on` has `data(Uint8Array)`, `message(Object)` for all that is JSON, `state("connecting"|"connected"|"waiting"|"closed",
 * {text, seconds, code})` and `latency(milliseconds)`.
 */
export class Channel {
  /**
   * @param {function(): Promise<string>} token gets a token for each connection; what it throws closes for good, if it
   *     has a status and that is not a server's passing trouble.
   * @param {function(): {columns: number, rows: number, since: ?number}} hello
   */
  constructor({ token, hello, on }) {
    this.token = token;
    this.hello = hello;
    this.on = on;
    this.closed = false;
    this.attempts = 0;
    this.waiting = [];
    this.outstanding = 0;
    this.unacknowledged = 0;
    this.limits = { ack: 65536, input: 262144 };
    this.wake = () => this.#soon();
    addEventListener("online", this.wake);
    document.addEventListener("visibilitychange", this.wake);
    this.connect();
  }

  get connected() {
    return this.socket?.readyState === WebSocket.OPEN && this.ready;
  }

  async connect() {
    clearTimeout(this.timer);
    this.timer = null;
    this.ready = false;
    this.on.state("connecting", {});
    let token;
    try {
      token = await this.token();
    } catch (error) {
      if (this.closed) return;
      if (error.status === 0 || error.status >= 500 || error.status === 429) this.#later(error.message);
      else this.#end(error.message, error.code);
      return;
    }
    if (this.closed) return;
    const url = new URL("terminal", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, [PROTOCOL]);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    // A way that swallows everything would else be waited for without end.
    this.timeout = setTimeout(() => socket.close(), READY);
    socket.onopen = () => {
      const { columns, rows, since } = this.hello();
      const hello = { t: "hello", token, columns, rows, term: "xterm-256color" };
      if (Number.isInteger(since)) hello.since = since;
      socket.send(JSON.stringify(hello));
    };
    socket.onmessage = (event) => this.#heard(event.data);
    socket.onclose = (event) => {
      if (socket === this.socket) this.#broken(event);
    };
  }

  #heard(data) {
    this.last = performance.now();
    if (typeof data !== "string") return this.on.data(new Uint8Array(data));
    const message = JSON.parse(data);
    if (message.t === "pong") return this.on.latency(performance.now() - message.n);
    if (message.t === "taken") {
      this.outstanding = Math.max(0, this.outstanding - message.bytes);
      return this.#flush();
    }
    if (message.t === "ready") {
      clearTimeout(this.timeout);
      this.ready = true;
      this.attempts = 0;
      this.pinged = 0;
      this.outstanding = 0;
      this.unacknowledged = 0;
      this.waiting = [];
      this.limits = { ack: message.ack ?? this.limits.ack, input: message.input ?? this.limits.input };
      this.pulse = setInterval(() => this.#ping(), PING);
      this.on.message(message);
      this.on.state("connected", {});
      return this.#ping();
    }
    // One that was too slow may come again at once; it is told where it stands.
    if (message.t === "ended" || (message.t === "detached" && message.reason !== "stalled")) this.over = true;
    return this.on.message(message);
  }

  #ping() {
    // Of a page in the background browsers let timers wait for a minute: what counts is the time since a ping was sent.
    const now = performance.now();
    if (this.pinged > this.last && now - this.pinged > SILENCE) return this.socket.close();
    this.pinged = now;
    return this.tell({ t: "ping", n: Math.round(now) });
  }

  #broken(event) {
    clearTimeout(this.timeout);
    clearInterval(this.pulse);
    this.ready = false;
    this.socket = null;
    this.waiting = [];
    if (this.closed) return;
    // A token may be too old by the time that it arrives; another one is asked for once.
    const again = event.code === 4001 && this.attempts === 0;
    if (this.over) this.#end("", event.code);
    else if (event.code === 4001 && !again) this.#end("The server refused the connection.", event.code);
    else if (event.code !== 1000 && FINAL[event.code] !== undefined) this.#end(FINAL[event.code], event.code);
    else if (event.code === 1000 && this.leaving) this.#end("", event.code);
    else this.#later("The connection was lost.");
  }

  #later(text) {
    const delay = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.attempts) * (0.75 + Math.random() / 2);
    this.attempts += 1;
    this.on.state("waiting", { text, seconds: delay / 1000 });
    this.timer = setTimeout(() => this.connect(), delay);
  }

  /** Tries at once what waits for its time. */
  #soon() {
    if (this.timer && !document.hidden && navigator.onLine !== false) this.retry();
  }

  retry() {
    if (this.timer) this.connect();
  }

  #end(text, code) {
    this.close();
    this.on.state("closed", { text, code });
  }

  /** Sends what was typed; not at all where nobody is there to take it. */
  write(data) {
    if (!this.connected) return false;
    for (let at = 0; at < data.length; at += PIECE) this.waiting.push(data.subarray(at, at + PIECE));
    this.#flush();
    return true;
  }

  #flush() {
    while (this.waiting.length && this.connected) {
      const piece = this.waiting[0];
      if (this.outstanding && this.outstanding + piece.length > this.limits.input) return;
      this.outstanding += piece.length;
      this.socket.send(this.waiting.shift());
    }
  }

  /** Says that so many bytes of output were worked off. */
  acknowledge(size) {
    this.unacknowledged += size;
    if (this.unacknowledged < this.limits.ack || !this.connected) return;
    this.tell({ t: "ack", bytes: this.unacknowledged });
    this.unacknowledged = 0;
  }

  tell(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Ends the session, if it is one's own, or goes away from it. @returns {boolean} whether the server was told. */
  leave(end) {
    this.leaving = true;
    this.tell({ t: end ? "close" : "detach" });
    return this.socket?.readyState === WebSocket.OPEN;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.timeout);
    clearInterval(this.pulse);
    this.timer = null;
    removeEventListener("online", this.wake);
    document.removeEventListener("visibilitychange", this.wake);
    if (this.socket) {
      this.socket.onclose = null;
      this.socket.close();
      this.socket = null;
    }
  }
}
