// Questions in the middle of the page, and short messages at its edge.

import { button, h, icon, line } from "./elements.js";

/**
 * Asks something, and waits for the answer.
 *
 * @param {Object} options
 * @param {string} options.title
 * @param {string} [options.text] a paragraph below it.
 * @param {string} [options.icon]
 * @param {Array<{name, label, type?, value?, placeholder?, autocomplete?, required?, choices?, hint?}>} [options.fields]
 *     `type` is an input's, "checkbox" or "select" (with `choices`: value -> label).
 * @param {Array<{value: string, label: string, kind?: string}>} [options.actions] the last one is what Enter does.
 * @param {Node} [options.body] shown between the text and the fields.
 * @param {boolean} [options.wide]
 * @param {boolean} [options.closable] whether Escape gives it up.
 * @param {function(HTMLDialogElement)} [options.opened] is handed the dialog, to close it from elsewhere.
 * @returns {Promise<{action: string, values: Object}|null>} null where it was given up.
 */
export function dialog(options) {
  const before = document.activeElement;
  const actions = options.actions ?? [{ value: "cancel", label: "Cancel" }, { value: "ok", label: "OK", kind: "primary" }];
  const inputs = new Map();
  const rows = (options.fields ?? []).map((field, index) => row(field, index, inputs));
  let answer = null;
  const form = h(
    "form",
    { method: "dialog", class: "dialog-form", novalidate: true },
    h(
      "header",
      { class: "dialog-head" },
      options.icon ? h("span", { class: `dialog-icon ${options.tone ?? ""}` }, icon(options.icon)) : null,
      h("h2", { id: "dialog-title", text: options.title }),
    ),
    options.text ? h("p", { class: "dialog-text", text: options.text }) : null,
    options.body ?? null,
    ...rows,
    actions.length ? h("footer", { class: "dialog-actions" }, ...actions.map((each, index) => action(each, index))) : null,
  );

  function action(each, index) {
    const last = index === actions.length - 1;
    return h("button", {
      type: last ? "submit" : "button",
      class: `button ${each.kind ? `button-${each.kind}` : ""}`,
      text: each.label,
      data: { action: each.value },
      autofocus: last && !rows.length,
      on: last ? null : { click: () => finish(each.value) },
    });
  }

  const element = h(
    "dialog",
    { class: `dialog ${options.wide ? "dialog-wide" : ""}`, "aria-labelledby": "dialog-title" },
    form,
  );

  function values() {
    const found = {};
    for (const [name, input] of inputs) found[name] = input.type === "checkbox" ? input.checked : input.value;
    return found;
  }

  function finish(value) {
    answer = value === "cancel" ? null : { action: value, values: values() };
    element.close();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const missing = [...inputs.values()].find((input) => input.required && !input.value);
    if (missing) missing.focus();
    else finish(actions.at(-1)?.value ?? "ok");
  });
  element.addEventListener("cancel", (event) => {
    if (options.closable === false) event.preventDefault();
  });
  document.body.append(element);
  element.showModal();
  options.opened?.(element);
  (element.querySelector("input, select, textarea") ?? element.querySelector("button[type=submit]"))?.focus();
  return new Promise((resolve) => {
    element.addEventListener("close", () => {
      for (const input of inputs.values()) if (input.type === "password") input.value = "";
      element.remove();
      const place = before?.isConnected ? before : again(before);
      place?.focus();
      resolve(answer);
    });
  });
}

/** What has taken the place of an element that was drawn anew meanwhile: the button of the same name, or the view. */
function again(element) {
  const label = element?.getAttribute?.("aria-label");
  const same = label && [...document.querySelectorAll(`[aria-label="${CSS.escape(label)}"]`)].find((each) => each.offsetParent !== null);
  return same || document.getElementById("stage");
}

function row(field, index, inputs) {
  const id = `field-${index}-${field.name}`;
  let input;
  if (field.type === "select") {
    const choices = Object.entries(field.choices);
    input = h("select", { id }, ...choices.map(([value, text]) => h("option", { value, text, selected: value === field.value })));
  } else if (field.type === "checkbox") {
    input = h("input", { id, type: "checkbox", checked: Boolean(field.value) });
  } else {
    input = h("input", {
      id,
      type: field.type ?? "text",
      value: field.value ?? null,
      placeholder: field.placeholder ?? null,
      autocomplete: field.autocomplete ?? "off",
      autocapitalize: "off",
      spellcheck: "false",
      required: Boolean(field.required),
      min: field.min ?? null,
      max: field.max ?? null,
    });
  }
  inputs.set(field.name, input);
  const label = h("label", { for: id, text: field.label });
  const hint = field.hint ? h("small", { text: field.hint }) : null;
  if (field.type === "checkbox") return h("div", { class: "field field-check" }, input, label, hint);
  return h("div", { class: "field" }, label, input, hint);
}

/** Asks yes or no. @returns {Promise<boolean>} */
export async function confirm(title, text, { yes = "OK", kind = "primary", icon: picture } = {}) {
  const actions = [{ value: "cancel", label: "Cancel" }, { value: "ok", label: yes, kind }];
  const tone = kind === "danger" ? "danger" : "";
  return (await dialog({ title, text, actions, icon: picture ?? (kind === "danger" ? "warning" : null), tone })) !== null;
}

const LEVELS = { info: "info", success: "check", warning: "warning", error: "warning" };
const MOST = 5;

/**
 * Says something at the page's edge.
 * @param {string} text
 * @param {{level?: "info"|"success"|"warning"|"error", seconds?: number, action?: {label: string, run: function()}}} [options]
 */
export function notify(text, { level = "info", seconds = level === "error" ? 12 : 6, action } = {}) {
  const shelf = document.getElementById("toasts") ?? document.body.appendChild(h("div", { id: "toasts", class: "toasts" }));
  const toast = h(
    "div",
    { class: `toast toast-${level}`, role: level === "error" || level === "warning" ? "alert" : "status" },
    icon(LEVELS[level] ?? "info"),
    h("span", { class: "toast-text", text: line(text, 400) }),
    action ? button(action.label, { kind: "quiet", on: () => (action.run(), toast.remove()) }) : null,
    button("Dismiss", { icon: "close", only: true, kind: "quiet", on: () => toast.remove() }),
  );
  // What is said already is said once.
  for (const each of shelf.children) if (each.textContent === toast.textContent) each.remove();
  // A modal dialog makes the rest of the page inert and lies above it: then it is said there.
  (document.querySelector("dialog[open]:last-of-type") ?? shelf).append(toast);
  while (shelf.children.length > MOST) shelf.firstElementChild.remove();
  let timer = setTimeout(() => toast.remove(), seconds * 1000);
  toast.addEventListener("pointerenter", () => clearTimeout(timer));
  toast.addEventListener("pointerleave", () => (timer = setTimeout(() => toast.remove(), 2000)));
  return toast;
}
