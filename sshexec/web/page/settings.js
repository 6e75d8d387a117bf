// What one person likes, kept in this browser.

const KEY = "sshexec.settings";

const DEFAULTS = {
  theme: "auto", // auto, dark, light
  palette: "auto", // a name of terminal/palettes.js; auto follows the theme
  fontSize: 14,
  cursor: "block", // block, bar, underline
  blink: true,
  scrollback: 5000,
  copyOnSelect: false,
  screenReader: false,
  sidebar: true,
};

const ALLOWED = {
  theme: (value) => ["auto", "dark", "light"].includes(value),
  palette: (value) => typeof value === "string" && value.length < 40,
  fontSize: (value) => Number.isInteger(value) && value >= 8 && value <= 32,
  cursor: (value) => ["block", "bar", "underline"].includes(value),
  blink: (value) => typeof value === "boolean",
  scrollback: (value) => Number.isInteger(value) && value >= 0 && value <= 50000,
  copyOnSelect: (value) => typeof value === "boolean",
  screenReader: (value) => typeof value === "boolean",
  sidebar: (value) => typeof value === "boolean",
};

/** Settings; an event "change" is told with `detail` the name of what changed. */
export class Settings extends EventTarget {
  constructor() {
    super();
    this.values = { ...DEFAULTS };
    this.#read();
    // Another tab's are ours too; else the next one that is set here would undo them.
    addEventListener("storage", (event) => {
      if (event.key === KEY) for (const name of this.#read()) this.told(name);
    });
    this.system = matchMedia("(prefers-color-scheme: light)");
    this.system.addEventListener("change", () => this.told("theme"));
    this.apply();
  }

  /** Takes what the browser has kept. @returns {string[]} the names of what changed by that. */
  #read() {
    const changed = [];
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
      for (const [name, value] of Object.entries(kept)) {
        if (!ALLOWED[name]?.(value) || this.values[name] === value) continue;
        this.values[name] = value;
        changed.push(name);
      }
    } catch {
      // Storage is switched off, or holds what is not ours.
    }
    return changed;
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    if (!ALLOWED[name]?.(value) || this.values[name] === value) return;
    this.values[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // It holds until the page is closed.
    }
    this.told(name);
  }

  /** "dark" or "light", as it is shown now. */
  get shade() {
    const theme = this.values.theme;
    return theme === "auto" ? (this.system.matches ? "light" : "dark") : theme;
  }

  told(name) {
    this.apply();
    this.dispatchEvent(new CustomEvent("change", { detail: name }));
  }

  apply() {
    document.documentElement.dataset.theme = this.shade;
  }
}
