// What a login asks: passwords, codes, whether a host's key is the right one.

import { dialog } from "../dialogs.js";
import { h, line } from "../elements.js";

const LOOKS = {
  password: { icon: "lock", title: "Password" },
  passphrase: { icon: "key", title: "Passphrase of a key" },
  code: { icon: "shield", title: "Sign-in question" },
  become: { icon: "lock", title: "Password" },
  host_key: { icon: "shield", title: "Unknown host" },
};

/** Questions of one session, one dialog at a time, shown while its terminal is shown. */
export class Questions {
  /**
   * @param {string} host
   * @param {function(string, string[])} answer sends answers.
   * @param {function()} give called when the person gives up.
   */
  constructor(host, answer, give) {
    this.host = host;
    this.answer = answer;
    this.give = give;
    this.waiting = [];
    this.visible = false;
    this.open = null;
  }

  get pending() {
    return this.waiting.length > 0 || this.open !== null;
  }

  ask(question) {
    if (this.open?.id === question.id || this.waiting.some((each) => each.id === question.id)) return;
    this.waiting.push(question);
    this.#next();
  }

  /** A question does not stand any more. */
  answered(id) {
    this.waiting = this.waiting.filter((each) => each.id !== id);
    if (this.open?.id === id) this.#withdraw();
  }

  #withdraw() {
    if (!this.open) return;
    this.open.withdrawn = true;
    this.open.element?.close();
  }

  clear() {
    this.waiting = [];
    this.#withdraw();
  }

  show(visible) {
    this.visible = visible;
    this.#next();
  }

  async #next() {
    if (this.open || !this.visible || !this.waiting.length) return;
    const question = this.waiting.shift();
    this.open = { id: question.id, element: null };
    const open = this.open;
    const shown = { opened: (element) => (open.element = element) };
    const answer = question.kind === "host_key" ? await this.#key(question, shown) : await this.#secret(question, shown);
    this.open = null;
    if (answer) this.answer(question.id, answer);
    else if (open.gaveUp) this.give();
    this.#next();
  }

  async #secret(question, shown) {
    const look = LOOKS[question.kind] ?? LOOKS.code;
    const fields = question.fields.map((field, index) => ({
      name: String(index),
      label: line(field.text, 4096) || look.title,
      type: field.echo ? "text" : "password",
      autocomplete: question.kind === "code" ? "one-time-code" : "off",
    }));
    const again = question.attempt > 1 ? "That was not right. Try again.\n" : "";
    const title = line(question.title, 400);
    // What the heading and the fields say already is not said once more.
    const told = [`${this.host} asks`, `${look.title} for ${this.host}`, look.title, ...fields.map((field) => field.label)];
    const open = this.open;
    const result = await dialog({
      title: `${look.title} · ${this.host}`,
      text: `${again}${told.includes(title) ? "" : title}`.trim() || null,
      icon: look.icon,
      tone: again ? "warning" : "",
      fields,
      actions: [{ value: "leave", label: "Cancel" }, { value: "ok", label: "Continue", kind: "primary" }],
      ...shown,
    });
    open.gaveUp = result?.action === "leave" || (result === null && !open.withdrawn);
    return result?.action === "ok" ? fields.map((field) => result.values[field.name]) : null;
  }

  async #key(question, shown) {
    const open = this.open;
    const text = question.fields.map((field) => line(field.text, 4096)).filter(Boolean).join("\n");
    const title = line(question.title, 400);
    const result = await dialog({
      title: `Is this really ${this.host}?`,
      icon: "shield",
      wide: true,
      tone: "warning",
      text: "This host is not known yet. Compare the fingerprint with what its administrator says before you trust it.",
      body: h("pre", { class: "fingerprint", text: text.includes(title) ? text : `${title}\n${text}` }),
      actions: [{ value: "trust", label: "Trust it and connect", kind: "danger" }, { value: "no", label: "Do not connect", kind: "primary" }],
      ...shown,
    });
    open.gaveUp = false;
    if (result === null && open.withdrawn) return null;
    return [result?.action === "trust" ? "yes" : "no"];
  }
}
