// Keys that the keyboard of a phone does not have.

import { h } from "../elements.js";

const KEYS = [
  ["Esc", "\x1b"],
  ["Tab", "\t"],
  ["Ctrl", null],
  ["←", "\x1b[D", "Left"],
  ["↓", "\x1b[B", "Down"],
  ["↑", "\x1b[A", "Up"],
  ["→", "\x1b[C", "Right"],
  ["^C", "\x03", "Ctrl+C"],
  ["|", "|"],
  ["/", "/"],
  ["-", "-"],
  ["~", "~"],
];

/**
 * A row of keys, shown where there is no mouse.
 * @param {function(string)} send
 * @param {function()} focus gives the terminal the keyboard back.
 */
export function touchKeys(send, focus) {
  const keys = KEYS.map(([label, text, name]) => {
    const key = h("button", { type: "button", class: "touch-key", text: label, "aria-label": name ?? null, "aria-pressed": text === null ? "false" : null });
    // Else the button takes the focus, and the phone its keyboard away.
    key.addEventListener("pointerdown", (event) => event.preventDefault());
    key.addEventListener("click", () => {
      if (text === null) return row.arm(row.armed ? false : true);
      send(text);
      row.arm(false);
      return focus();
    });
    return key;
  });
  const row = h("div", { class: "touch-keys", role: "toolbar", "aria-label": "Keys" }, ...keys);
  const control = keys[KEYS.findIndex(([label]) => label === "Ctrl")];
  row.armed = false;
  row.arm = (armed) => {
    row.armed = armed;
    control.setAttribute("aria-pressed", String(armed));
    if (armed) focus();
  };
  /** Makes of a letter its control character, where "Ctrl" was pressed before. */
  row.modify = (data) => {
    if (!row.armed || data.length !== 1) return data;
    row.arm(false);
    const code = data[0];
    return (code >= 0x40 && code <= 0x7e) ? Uint8Array.of(code & 0x1f) : data;
  };
  return row;
}
