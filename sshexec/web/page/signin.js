// What is shown to whoever is not signed in.

import { h, icon } from "./elements.js";

/**
 * Asks for the one-time token that the server printed.
 * @param {string} text what is wrong, if something is.
 * @param {function()} done called once it is right.
 */
export function signIn(app, text, done) {
  const message = h("p", { class: "signin-error", role: "alert", text });
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
    send,
    "The server printed an address with a token when it started, and prints a new one after each use.",
    h("label", { for: "signin-token", text: "One-time token" }),
    input,
    message,
    submit,
  );
  input.focus();
}

/** Says where to sign in, where that is not here: the page is part of an application that has users of its own. */
export function signInElsewhere(app) {
  const again = h("button", { type: "submit", class: "button button-primary button-wide", text: "Load again" });
  function load(event) {
    event.preventDefault();
    location.reload();
  }
  card(app, load, "Sign in to the application that this page is part of, then load it again.", again);
}

function card(app, submitted, hint, ...fields) {
  app.root.replaceChildren(
    h(
      "main",
      { class: "signin" },
      h(
        "form",
        { class: "signin-card", on: { submit: submitted } },
        h("img", { src: "icon.svg", alt: "", width: 56, height: 56 }),
        h("h1", { text: "sshexec" }),
        h("p", { class: "signin-lead", text: "Terminals, recordings and runs on your hosts." }),
        ...fields,
        h("p", { class: "signin-hint" }, icon("info"), h("span", { text: hint })),
      ),
    ),
  );
  document.title = "Sign in · sshexec";
}
