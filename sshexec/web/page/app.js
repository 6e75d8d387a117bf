// The page's frame: who is signed in, which view is shown, and what views share.

import { Api, ApiError } from "./api.js";
import { confirm, dialog, notify } from "./dialogs.js";
import { button, h, icon, line } from "./elements.js";
import { Settings } from "./settings.js";
import { help, preferences } from "./preferences.js";
import { notSignedIn, signIn } from "./signin.js";

/**
 * A view is `export default {id, title, icon, mount(element, app), shown?(path), hidden?()}`: mounted when it is first
 * shown, told each time with what follows its name in the address (`#/runs/17` -> "17"), and told when another comes.
 */
const VIEWS = ["terminals", "sessions", "recordings", "runs"];

class App extends EventTarget {
  constructor(root) {
    super();
    this.root = root;
    this.settings = new Settings();
    this.api = new Api(() => this.signedOut());
    this.me = null;
    this.views = new Map();
    this.places = new Map();
    this.current = null;
    this.dialog = dialog;
    this.confirm = confirm;
    this.notify = notify;
    addEventListener("hashchange", () => this.route());
    addEventListener("keydown", (event) => this.shortcut(event));
  }

  /** Says what went wrong; an ApiError's own words, and nothing at all of what was only given up. */
  failed(error) {
    if (error?.name === "AbortError" || (error instanceof ApiError && error.status === 401)) return;
    if (!(error instanceof ApiError)) console.error(error);
    notify(error instanceof ApiError ? error.message : "Something went wrong on this page.", { level: "error" });
  }

  /** Goes to an address within the page, such as "sessions" or "runs/17". */
  navigate(path) {
    location.hash = `#/${path}`;
  }

  async start() {
    const token = /^#token=([\w.~-]{1,400})$/.exec(location.hash)?.[1];
    if (token) {
      // It is good for one use only, and still nobody should find it in the history.
      history.replaceState(null, "", location.pathname + location.search);
      await this.api.post("signin", { token }, { quiet: true }).catch((error) => notify(error.message, { level: "error" }));
    }
    try {
      this.me = await this.api.get("me", {}, { quiet: true });
    } catch (error) {
      if (error.status === 401 && error.signIn) return signIn(this, () => this.start());
      return notSignedIn(this, error.status === 401 ? "" : error.message);
    }
    await this.load();
    this.frame();
    this.route();
  }

  signedOut() {
    if (this.me === null) return;
    this.me = null;
    this.dispatchEvent(new Event("signedout"));
    // What was on the page was for whoever was signed in: nothing of it stays.
    location.reload();
  }

  async load() {
    // What the server does not have, /api/me says to be false.
    const wanted = VIEWS.filter((name) => this.me[name] !== false);
    const loaded = await Promise.all(wanted.map((name) => import(`./views/${name}.js`).catch((error) => this.failed(error))));
    for (const module of loaded) if (module) this.views.set(module.default.id, module.default);
  }

  frame() {
    const links = [...this.views.values()].map((view) =>
      h(
        "a",
        { class: "rail-link", href: `#/${view.id}`, data: { view: view.id } },
        icon(view.icon ?? view.id),
        h("span", { text: view.title }),
      ),
    );
    this.stage = h("main", { class: "stage", id: "stage", tabindex: "-1" });
    this.themer = button("Switch to light or dark", { icon: "moon", only: true, kind: "rail", on: () => this.toggleTheme() });
    this.root.replaceChildren(
      h("a", { class: "skip", href: "#stage", text: "Skip to content", on: { click: (event) => (event.preventDefault(), this.stage.focus()) } }),
      h(
        "nav",
        { class: "rail", "aria-label": "Views" },
        h("a", { class: "brand", href: "#/terminals", "aria-label": "sshexec" }, h("img", { src: "icon.svg", alt: "", width: 30, height: 30 })),
        h("div", { class: "rail-links" }, ...links),
        h(
          "div",
          { class: "rail-foot" },
          this.themer,
          button("Settings", { icon: "settings", only: true, kind: "rail", on: () => preferences(this) }),
          button("Keyboard", { icon: "keyboard", only: true, kind: "rail hide-small", shortcut: "Alt+Shift+K", on: () => help(this) }),
          this.account(),
        ),
      ),
      this.stage,
    );
    this.settings.addEventListener("change", () => this.picture());
    this.picture();
  }

  account() {
    const user = line(this.me.user ?? "?", 60);
    const leave = async () => {
      const text = "Your terminals go on for a while; those that you want to end, end first.";
      if (!(await confirm(`Sign out, ${user}?`, text, { yes: "Sign out" }))) return;
      await this.api.post("signout").catch(() => null);
      this.signedOut();
    };
    // Where a platform says who somebody is, that is also where one signs out.
    if (this.me.sign_out === false) return h("span", { class: "avatar", title: user, "aria-label": user, role: "img", text: user.slice(0, 2) });
    return h(
      "button",
      { type: "button", class: "avatar", title: `${user}: sign out`, "aria-label": `${user}: sign out`, on: { click: leave } },
      user.slice(0, 2),
    );
  }

  picture() {
    this.themer.replaceChildren(icon(this.settings.shade === "dark" ? "sun" : "moon"));
  }

  toggleTheme() {
    this.settings.set("theme", this.settings.shade === "dark" ? "light" : "dark");
  }

  /** Shows the view of the address. */
  route() {
    if (!this.stage) return;
    const [, id, rest] = /^#\/([\w-]+)\/?(.*)$/.exec(location.hash) ?? [null, "terminals", ""];
    const view = this.views.get(id) ?? this.views.values().next().value;
    if (!view) return;
    if (!this.places.has(view.id)) {
      const place = h("section", { class: "view", id: `view-${view.id}`, "aria-label": view.title });
      this.places.set(view.id, place);
      this.stage.append(place);
      view.mount(place, this);
    }
    for (const [name, place] of this.places) place.hidden = name !== view.id;
    for (const link of this.root.querySelectorAll(".rail-link")) {
      if (link.dataset.view === view.id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (this.current !== view) this.current?.hidden?.();
    this.current = view;
    this.entitle(null);
    view.shown?.(decode(rest));
  }

  /** What the browser's tab says; text only, as it may come from a host. */
  entitle(text) {
    const title = text ? line(text, 100) : this.current?.title;
    document.title = title ? `${title} · sshexec` : "sshexec";
  }

  shortcut(event) {
    if (!event.altKey || !event.shiftKey || event.ctrlKey || event.metaKey || !this.stage) return;
    if (event.code === "KeyK") help(this);
    else if (event.code === "KeyL") this.toggleTheme();
    else return;
    event.preventDefault();
  }
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

new App(document.getElementById("app")).start();
