// A module's arguments: as a form made of what the module says it takes, or as one text.

import { h } from "../elements.js";

const FREE = "_raw_params";
/** What people set, before the rest. */
const FIRST = ["path", "dest", "src", "remote_src", "content", "state", "mode", "owner", "group", "chdir", "filter", "gather_subset"];

/**
 * Makes the fields.
 * @param {Object} module as /api/modules has it.
 * @param {"form"|"text"} mode
 * @param {string|Object|null} given what they hold at first.
 * @returns {{element: Element, value: function(): (string|Object|null), carried: function(): (string|null)}}
 */
export function argumentFields(module, mode, given) {
  return mode === "text" ? textField(module, given) : form(module, given);
}

function textField(module, given) {
  const text = typeof given === "string" ? given : given ? JSON.stringify(given, null, 2) : "";
  const area = h("textarea", { class: "mono", rows: "4", spellcheck: "false", autocapitalize: "off", "aria-label": "Arguments as a text", placeholder: module.free_form ? "uptime" : "name=value name='another value', or a JSON object" });
  area.value = text;
  const value = () => {
    const written = area.value.trim();
    if (!written) return null;
    if (!written.startsWith("{") || module.free_form) return area.value;
    try {
      return JSON.parse(written);
    } catch {
      throw new Error("Arguments: this begins as a JSON object, and is none.");
    }
  };
  return { element: h("div", { class: "arguments" }, area), value, carried: () => null };
}

function form(module, given) {
  const values = typeof given === "string" ? { [FREE]: given } : { ...given };
  const inputs = new Map();
  const parameters = module.parameters.filter((each) => each.name !== FREE && !(module.free_form && each.name === "cmd"));
  const rank = (each) => (each.required ? -1 : (FIRST.indexOf(each.name) + 100) % 100 || 0);
  const shown = parameters.filter((each) => isFirst(each, module) || each.name in values).sort((one, other) => rank(one) - rank(other));
  const others = parameters.filter((each) => !shown.includes(each));
  const parts = [];
  if (module.free_form) {
    const area = h("textarea", { id: "argument-free", class: "mono composer-command", rows: "3", spellcheck: "false", autocapitalize: "off", "aria-label": "Command", placeholder: "uptime" });
    area.value = values[FREE] ?? values.cmd ?? "";
    inputs.set(FREE, { read: () => area.value.trim() && area.value });
    parts.push(area);
  }
  const grid = (members) => h("div", { class: "composer-grid" }, ...members.map((each) => field(each, values[each.name], inputs)));
  if (shown.length) parts.push(grid(shown));
  if (others.length) parts.push(h("details", { class: "composer-more" }, h("summary", { text: shown.length || module.free_form ? "More arguments" : "Arguments" }), grid(others)));
  if (!parts.length) parts.push(h("p", { class: "muted", text: "It takes none." }));
  const value = () => {
    const found = {};
    for (const [name, input] of inputs) {
      const given = input.read();
      if (given !== "" && given !== null) found[name] = given;
    }
    const names = Object.keys(found);
    if (!names.length) return null;
    return names.length === 1 && names[0] === FREE ? found[FREE] : found;
  };
  const carried = () => {
    const now = value();
    return typeof now === "string" ? now : now && JSON.stringify(now, null, 2);
  };
  return { element: h("div", { class: "arguments" }, ...parts), value, carried };
}

function isFirst(parameter, module) {
  if (parameter.required) return true;
  return !module.free_form && FIRST.includes(parameter.name);
}

function field(parameter, given, inputs) {
  const id = `argument-${parameter.name}`;
  const input = inputFor(parameter, id, given);
  inputs.set(parameter.name, { read: () => read(parameter, input) });
  const wide = input instanceof HTMLTextAreaElement ? "field-wide" : "";
  return h(
    "div",
    { class: `field ${wide}` },
    h("label", { for: id }, h("code", { text: parameter.name }), parameter.required ? h("span", { class: "required", text: " must be given" }) : null),
    input,
    parameter.help ? h("small", { text: parameter.help.replaceAll("`", "") }) : null,
  );
}

function inputFor(parameter, id, given) {
  const { type, default: usual } = parameter;
  if (parameter.choices.length && type !== "list") return select(id, parameter.choices, given, usual);
  if (type === "bool") return select(id, ["yes", "no"], given === undefined ? undefined : given === true || given === "yes" ? "yes" : "no", usual === null ? null : usual ? "yes" : "no");
  const text = given === undefined || given === null ? "" : typeof given === "string" ? given : JSON.stringify(given);
  const hint = usual === null || usual === "" ? "" : typeof usual === "string" ? usual : JSON.stringify(usual);
  const plain = { id, class: "mono", placeholder: hint || null, autocomplete: "off", autocapitalize: "off", spellcheck: "false" };
  if (["content", "stdin"].includes(parameter.name) || type === "dict") {
    const area = h("textarea", { ...plain, rows: "5" });
    area.value = text;
    return area;
  }
  const kind = parameter.secret ? "password" : type === "int" || type === "float" ? "number" : "text";
  return h("input", { ...plain, type: kind, step: type === "float" ? "any" : null, value: text || null, autocomplete: parameter.secret ? "new-password" : "off" });
}

function select(id, choices, given, usual) {
  const unset = h("option", { value: "", text: usual === null || usual === undefined ? "not given" : `${usual} (unless given)` });
  const input = h("select", { id }, unset, ...choices.map((each) => h("option", { value: each, text: each })));
  input.value = choices.includes(given) ? given : "";
  return input;
}

function read(parameter, input) {
  const text = input.value;
  if (text === "") return null;
  if (parameter.type === "bool") return text === "yes";
  if (parameter.type === "int" || parameter.type === "float") return Number(text);
  if (["list", "dict", "raw"].includes(parameter.type) && /^\s*[[{]/.test(text) && parameter.name !== "content") {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return text;
}
