// What is shown to whoever is not signed in.

import { h, icon } from "./elements.js";

/** Shows one card in the middle, and nothing else. */
function card(app, tag, properties, ...children) {
  app.root.replaceChildren(
    h(
      "main",
      { class: "signin" },
      h(tag, { class: "signin-card", ...properties }, h("img", { src: "icon.svg", alt: "", width: 56, height: 56 }), h("h1", { text: "sshexec" }), ...children),
    ),
  );
  document.title = "Sign in · sshexec";
}

/**
 * Says that a platform, and not this page, is where one signs in; or why that is not known.
 * @param {string} text what is wrong, if something else is.
 */
export function notSignedIn(app, text) {
  const again = h("button", { type: "button", class: "button button-primary button-wide", text: "Load anew", on: { click: () => location.reload() } });
  const said = text || "You are not signed in. Sign in where you came from, then load this page anew.";
  card(app, "div", {}, h("p", { class: text ? "signin-error" : "signin-lead", role: "alert", text: said }), again);
  again.focus();
}

/**
 * Asks for the one-time token that the server printed.
 * @param {function()} done called once it is right.
 */
export function signIn(app, done) {
  const message = h("p", { class: "signin-error", role: "alert" });
  const input = h("input", {
    id: "signin-token",
    type: "password",
    autocomplete: "one-time-code",
    autocapitalize: "off",
    spellcheck: "false",
    required: true,
    placeholder: "Token or the whole address",
  });
  const submit = h("button", { type: "submit", class: "button button-primary button-wide", text: "Sign in" });

  async function send(event) {
    event.preventDefault();
    const token = input.value.trim().replace(/^.*#token=/, "");
    if (!token) return input.focus();
    submit.disabled = true;
    message.textContent = "";
    try {
      await app.api.post("signin", { token }, { quiet: true });
      input.value = "";
      await done();
    } catch (error) {
      message.textContent = error.message;
      input.select();
      input.focus();
    } finally {
      submit.disabled = false;
    }
    return undefined;
  }

  card(
    app,
    "form",
    { on: { submit: send } },
    h("p", { class: "signin-lead", text: "Terminals, recordings and runs on your hosts." }),
    h("label", { for: "signin-token", text: "One-time token" }),
    input,
    message,
    submit,
    h(
      "p",
      { class: "signin-hint" },
      icon("info"),
      h("span", { text: "The server printed an address with a token when it started, and prints a new one after each use." }),
    ),
  );
  input.focus();
}
