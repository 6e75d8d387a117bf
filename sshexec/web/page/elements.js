// Elements made from text that is only ever text: nothing on this page parses HTML.

/**
 * Makes an element.
 * @param {string} tag
 * @param {Object} [properties] `class`, `text`, `on` (event -> listener), `data` (dataset), `ref` (is handed the element);
 *     true and false switch an attribute, null leaves it out, everything else is set as an attribute.
 * @param {...(Node|string|null|false)} children
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "ref") value(element);
    else if (typeof value === "boolean" && !name.startsWith("aria-")) element.toggleAttribute(name, value);
    else element.setAttribute(name, String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Strokes of each icon on a square of 24; a path each, a circle is written as two arcs. */
const ICONS = {
  terminal: ["M4 5h16v14H4z", "M8 9.5l2.5 2.5L8 14.5", "M13 15h3.5"],
  sessions: ["M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z", "M2.5 20c0-3.6 2.9-6 6.5-6s6.5 2.4 6.5 6", "M16 4.3a3.5 3.5 0 0 1 0 6.4", "M18 14.5c2.2.8 3.5 2.8 3.5 5.5"],
  recordings: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M10 8.5l5.5 3.5L10 15.5z"],
  runs: ["M13 2.5L5 13.5h6l-1 8 8.5-11.5H12z"],
  search: ["M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14z", "M16 16l4.5 4.5"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  plus: ["M12 5v14", "M5 12h14"],
  chevron: ["M9 6l6 6-6 6"],
  down: ["M6 9l6 6 6-6"],
  up: ["M6 15l6-6 6 6"],
  back: ["M15 6l-6 6 6 6"],
  folder: ["M3 7a2 2 0 0 1 2-2h4l2 2h8a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z"],
  host: ["M4 4.5h16v6H4z", "M4 13.5h16v6H4z", "M7.5 7.5h.01", "M7.5 16.5h.01"],
  upload: ["M12 16V4", "M7 9l5-5 5 5", "M4 20h16"],
  download: ["M12 4v12", "M7 11l5 5 5-5", "M4 20h16"],
  eye: ["M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z", "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z"],
  lock: ["M6 11h12v9H6z", "M8.5 11V7.5a3.5 3.5 0 0 1 7 0V11"],
  key: ["M8 19a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9z", "M11.5 11.5L20 3", "M16 7l3 3"],
  shield: ["M12 3l8 3v6c0 4.5-3.3 7.8-8 9-4.7-1.2-8-4.5-8-9V6z", "M12 8v4.5", "M12 16h.01"],
  sun: ["M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M12 2.5v2", "M12 19.5v2", "M2.5 12h2", "M19.5 12h2", "M5.3 5.3l1.4 1.4", "M17.3 17.3l1.4 1.4", "M5.3 18.7l1.4-1.4", "M17.3 6.7l1.4-1.4"],
  moon: ["M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z"],
  settings: ["M4 7h9", "M17 7h3", "M15 9.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z", "M4 17h3", "M11 17h9", "M9 19.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z"],
  signout: ["M14 4h5v16h-5", "M10 8l-4 4 4 4", "M6 12h9"],
  stop: ["M6 6h12v12H6z"],
  pause: ["M8 5v14", "M16 5v14"],
  play: ["M7 4.5l12 7.5-12 7.5z"],
  refresh: ["M20 11a8 8 0 1 0-1 5", "M20 5v6h-6"],
  copy: ["M9 9h11v11H9z", "M15 9V4H4v11h5"],
  swap: ["M4 8h14", "M14 4l4 4-4 4", "M20 16H6", "M10 12l-4 4 4 4"],
  record: ["M12 17a5 5 0 1 0 0-10 5 5 0 0 0 0 10z"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  warning: ["M12 4L2.5 20h19z", "M12 10v4.5", "M12 17.2h.01"],
  info: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M12 11v5.5", "M12 7.5h.01"],
  menu: ["M4 7h16", "M4 12h16", "M4 17h16"],
  file: ["M6 3h8l4 4v14H6z", "M14 3v4h4"],
  keyboard: ["M3 6h18v12H3z", "M7 10h.01", "M11 10h.01", "M15 10h.01", "M8 14.5h8"],
};

/** An icon by its name, hidden from screen readers: what it stands on has a label. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  for (const stroke of ICONS[name] ?? ICONS.info) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", stroke);
    svg.append(path);
  }
  return svg;
}

/**
 * A button.
 * @param {string} label what it does; shown, or as a hint where `only` leaves the icon alone.
 * @param {{icon?: string, only?: boolean, kind?: string, on?: function(Event), shortcut?: string}} [options]
 */
export function button(label, options = {}, properties = {}) {
  const hint = options.shortcut ? `${label} (${options.shortcut})` : label;
  return h(
    "button",
    {
      type: "button",
      class: `button ${options.only ? "button-icon" : ""} ${options.kind ? `button-${options.kind}` : ""}`,
      "aria-label": options.only ? label : null,
      title: options.only || options.shortcut ? hint : null,
      on: options.on ? { click: options.on } : null,
      ...properties,
    },
    options.icon ? icon(options.icon) : null,
    options.only ? null : h("span", { text: label }),
  );
}

/** A number of bytes, for people. */
export function bytes(count) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

/** A number of seconds, for people: "42 s", "5 min", "3 h 10 min". */
export function duration(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} days`;
}

/** What is worth showing of text from elsewhere: one line, no control or direction characters, not too long. */
export function line(text, longest = 200) {
  // eslint-disable-next-line no-control-regex
  const clean = String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g, " ").trim();
  return clean.length > longest ? `${clean.slice(0, longest - 1)}…` : clean;
}
