// The dialogs of settings and of the keyboard.

import { dialog } from "./dialogs.js";
import { h } from "./elements.js";
import { PALETTES } from "./terminal/palettes.js";

/** Asks for what one likes; takes effect at once. */
export async function preferences(app) {
  const { settings } = app;
  const names = Object.entries(PALETTES).map(([name, palette]) => [name, palette.title]);
  const fields = [
    { name: "theme", label: "Theme", type: "select", choices: { auto: "As the system", dark: "Dark", light: "Light" } },
    { name: "palette", label: "Terminal colours", type: "select", choices: { auto: "As the theme", ...Object.fromEntries(names) } },
    { name: "fontSize", label: "Font size", type: "number", min: 8, max: 32 },
    { name: "cursor", label: "Cursor", type: "select", choices: { block: "Block", bar: "Bar", underline: "Underline" } },
    { name: "scrollback", label: "Lines to scroll back", type: "number", min: 0, max: 50000 },
    { name: "blink", label: "The cursor blinks", type: "checkbox" },
    { name: "askToLeave", label: "Ask before terminals are closed with the page", type: "checkbox" },
    { name: "copyOnSelect", label: "What is selected is copied", type: "checkbox" },
    { name: "screenReader", label: "Terminals can be read by a screen reader", type: "checkbox" },
  ];
  for (const field of fields) field.value = settings.get(field.name);
  const answer = await dialog({
    title: "Settings",
    icon: "settings",
    fields,
    actions: [{ value: "cancel", label: "Cancel" }, { value: "ok", label: "Save", kind: "primary" }],
  });
  if (!answer) return;
  for (const field of fields) {
    const value = answer.values[field.name];
    // Nobody is asked again for a number that is too large: the largest one is meant.
    settings.set(field.name, field.type === "number" ? Math.min(field.max, Math.max(field.min, Number.parseInt(value, 10))) : value);
  }
}

const KEYS = [
  ["Hosts: search", "Alt+Shift+H"],
  ["Find in the terminal", "Alt+Shift+F"],
  ["Next, previous terminal", "Alt+Shift+→  Alt+Shift+←"],
  ["Terminal 1 to 9", "Alt+Shift+1 … Alt+Shift+9"],
  ["Close the terminal", "Alt+Shift+W"],
  ["Copy, paste", "Ctrl+Shift+C  Ctrl+Shift+V"],
  ["Font larger, smaller", "Alt+Shift+↑  Alt+Shift+↓"],
  ["Scroll", "Shift+PageUp  Shift+PageDown"],
  ["Light or dark", "Alt+Shift+L"],
  ["This list", "Alt+Shift+K"],
];

/** Shows the keys. */
export function help() {
  if (document.querySelector("dialog[open]")) return;
  const rows = KEYS.map(([what, keys]) =>
    h("div", { class: "keys-row" }, h("dt", { text: what }), h("dd", {}, ...keys.split("  ").map((each) => h("kbd", { text: each })))),
  );
  dialog({
    title: "Keyboard",
    icon: "keyboard",
    body: h("dl", { class: "keys" }, ...rows),
    actions: [{ value: "ok", label: "Close", kind: "primary" }],
  });
}
