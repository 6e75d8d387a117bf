// The search within one terminal.

import { button, h, icon } from "../elements.js";
import { marks } from "./palettes.js";

export class Find {
  constructor(screen) {
    this.screen = screen;
    this.count = h("span", { class: "find-count", "aria-live": "polite" });
    this.input = h("input", {
      type: "search",
      placeholder: "Find",
      "aria-label": "Find in the terminal",
      spellcheck: "false",
      on: { input: () => this.next(true), keydown: (event) => this.#key(event) },
    });
    this.element = h(
      "div",
      { class: "find", role: "search", hidden: true },
      h("label", { class: "search-box" }, icon("search"), this.input),
      this.count,
      button("Previous", { icon: "up", only: true, on: () => this.previous() }),
      button("Next", { icon: "down", only: true, on: () => this.next() }),
      button("Close", { icon: "close", only: true, on: () => this.close() }),
    );
    screen.search.onDidChangeResults(({ resultIndex, resultCount }) => {
      this.count.textContent = this.input.value ? `${resultCount ? resultIndex + 1 : 0} of ${resultCount}` : "";
    });
  }

  open() {
    this.element.hidden = false;
    const selected = this.screen.terminal.getSelection();
    if (selected && !selected.includes("\n")) this.input.value = selected;
    this.input.focus();
    this.input.select();
    if (this.input.value) this.next(true);
  }

  next(incremental = false) {
    this.screen.search.findNext(this.input.value, { incremental, decorations: marks(this.screen.settings) });
  }

  previous() {
    this.screen.search.findPrevious(this.input.value, { decorations: marks(this.screen.settings) });
  }

  close() {
    this.element.hidden = true;
    this.screen.search.clearDecorations();
    this.screen.focus();
  }

  #key(event) {
    if (event.key === "Escape") this.close();
    else if (event.key === "Enter" && event.shiftKey) this.previous();
    else if (event.key === "Enter") this.next();
    else return;
    event.preventDefault();
  }
}
