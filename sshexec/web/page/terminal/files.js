// Files to and from a session's host: dropped on the terminal, or asked for by their path.

import { dialog, notify } from "../dialogs.js";
import { button, bytes, h, icon, line } from "../elements.js";

const TOGETHER = 1; // the session's connection carries one transfer at a time

/** The transfers of one terminal. */
export class Files {
  constructor(app, pane) {
    this.app = app;
    this.pane = pane;
    this.folder = "";
    this.path = "";
    this.queue = [];
    this.running = 0;
    this.list = h("ul", { class: "transfers-list" });
    this.element = h("div", { class: "transfers", role: "region", "aria-label": "Transfers", hidden: true }, this.list);
    this.input = h("input", { type: "file", multiple: true, hidden: true, on: { change: () => this.#chosen() } });
    this.target = h(
      "div",
      { class: "drop", hidden: true },
      h("div", { class: "drop-card" }, icon("upload"), h("strong", { text: `Drop to upload to ${pane.host}` })),
    );
  }

  /** Takes files that are dropped on an element. */
  listen(element) {
    element.append(this.input, this.target);
    let depth = 0;
    const files = (event) => event.dataTransfer?.types?.includes("Files");
    const leave = () => {
      depth = 0;
      this.target.hidden = true;
    };
    element.addEventListener("dragenter", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      depth += 1;
      this.target.hidden = !this.#allowed;
    });
    element.addEventListener("dragleave", () => {
      depth -= 1;
      if (depth <= 0) leave();
    });
    element.addEventListener("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = this.#allowed ? "copy" : "none";
    });
    element.addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      leave();
      if (this.#allowed) this.#upload(dropped(event.dataTransfer));
    });
  }

  get #allowed() {
    return this.pane.facts.upload && this.pane.state === "open" && this.pane.role === "owner";
  }

  choose() {
    this.input.value = "";
    this.input.click();
  }

  #chosen() {
    this.#upload({ files: [...this.input.files], folders: 0 });
  }

  async #upload({ files, folders }) {
    if (folders) notify("Folders are left out; put them into an archive first.", { level: "warning" });
    if (!files.length) return;
    const all = files.reduce((sum, file) => sum + file.size, 0);
    const names = files.slice(0, 6).map((file) => `${line(file.name, 80)} (${bytes(file.size)})`);
    if (files.length > 6) names.push(`and ${files.length - 6} more`);
    const answer = await dialog({
      title: files.length === 1 ? "Upload a file" : `Upload ${files.length} files, ${bytes(all)}`,
      icon: "upload",
      text: names.join("\n"),
      fields: [{ name: "folder", label: `Into this folder on ${this.pane.host}`, value: this.folder, placeholder: "your home", hint: "Files of the same name are replaced." }],
      actions: [{ value: "cancel", label: "Cancel" }, { value: "ok", label: "Upload", kind: "primary" }],
    });
    if (!answer) return;
    this.folder = answer.values.folder.trim();
    const start = this.folder && !this.folder.endsWith("/") ? `${this.folder}/` : this.folder;
    for (const file of files) this.#add(file.name, (row, signal) => this.#send(file, `${start}${file.name}`, row, signal));
    this.pane.screen.focus();
  }

  async #send(file, path, row, signal) {
    await this.app.api.upload(this.#address, { path }, file, (done, total) => row.progress(done, total, "sent"), signal);
    row.done(`${bytes(file.size)} uploaded`);
  }

  get #address() {
    return `sessions/${encodeURIComponent(this.pane.session)}/files`;
  }

  /** Asks for a path and downloads it. */
  async fetch() {
    const selected = line(this.pane.screen.terminal.getSelection(), 1000);
    const answer = await dialog({
      title: "Download a file",
      icon: "download",
      fields: [{ name: "path", label: `Path on ${this.pane.host}`, value: selected || this.path, required: true, placeholder: "/var/log/syslog", hint: "A path that does not start with / counts from your home." }],
      actions: [{ value: "cancel", label: "Cancel" }, { value: "ok", label: "Download", kind: "primary" }],
    });
    if (!answer) return;
    this.path = answer.values.path.trim();
    const path = this.path;
    const name = path.replace(/\/+$/, "").split("/").pop() || "file";
    this.#add(name, async (row, signal) => {
      const blob = await this.app.api.download(this.#address, { path }, (done, total) => row.progress(done, total, "received"), signal);
      save(blob, name);
      row.done(`${bytes(blob.size)} downloaded`);
    });
    this.pane.screen.focus();
  }

  #add(name, run) {
    const stop = new AbortController();
    const bar = h("progress", { max: 1, "aria-label": line(name, 100) });
    const text = h("span", { class: "transfer-text", text: "waits" });
    const cancel = button("Cancel", { icon: "close", only: true, on: () => (stop.abort(), this.current !== stop && this.#remove(item)) });
    const item = h("li", { class: "transfer" }, icon("file"), h("div", { class: "transfer-facts" }, h("strong", { text: line(name, 100) }), bar, text), cancel);
    const row = {
      progress(done, total, word) {
        if (total) bar.value = Math.min(1, done / total);
        text.textContent = total ? `${bytes(done)} of ${bytes(total)} ${word}` : `${bytes(done)} ${word}`;
      },
      done: (said, failed = false) => {
        bar.value = failed ? 0 : 1;
        text.textContent = said;
        item.classList.add("over");
        item.classList.toggle("failed", failed);
        cancel.setAttribute("aria-label", "Dismiss");
        cancel.title = "Dismiss";
        if (!failed) setTimeout(() => this.#remove(item), 6000);
      },
    };
    this.list.append(item);
    this.element.hidden = false;
    this.queue.push({ run, row, stop, item });
    this.#next();
  }

  async #next() {
    if (this.running >= TOGETHER || !this.queue.length) return;
    const { run, row, stop, item } = this.queue.shift();
    this.running += 1;
    try {
      stop.signal.throwIfAborted();
      this.current = stop;
      await run(row, stop.signal);
    } catch (error) {
      if (error.name === "AbortError") this.#remove(item);
      else row.done(error.message, true);
    } finally {
      this.current = null;
      this.running -= 1;
      this.#next();
    }
  }

  #remove(item) {
    item.remove();
    this.element.hidden = !this.list.children.length;
  }

  close() {
    this.queue = [];
    this.current?.abort();
  }
}

/** The files of a drop; folders have no bytes of their own. */
function dropped(transfer) {
  const files = [];
  let folders = 0;
  for (const item of transfer.items) {
    if (item.kind !== "file") continue;
    if (item.webkitGetAsEntry?.()?.isDirectory) folders += 1;
    else files.push(item.getAsFile());
  }
  return { files: files.filter(Boolean), folders };
}

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = h("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
