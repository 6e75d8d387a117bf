// Colours of terminals, as xterm.js takes them.

const ANSI = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

function palette(title, light, background, foreground, cursor, selection, normal, bright) {
  const colours = { background, foreground, cursor, cursorAccent: background, selectionBackground: selection };
  normal.split(" ").forEach((each, index) => (colours[ANSI[index]] = each));
  bright.split(" ").forEach((each, index) => {
    colours[`bright${ANSI[index][0].toUpperCase()}${ANSI[index].slice(1)}`] = each;
  });
  return { title, light, colours };
}

export const PALETTES = {
  night: palette(
    "Night", false, "#0b0f17", "#d7dde8", "#5eead4", "#27405c",
    "#1c2433 #f2777a #7fd18b #e8c26a #6cb2f7 #c797f0 #5ccfd0 #c5ccd9",
    "#5d6b82 #ff9a9c #a4e6ad #f5d98f #97cbff #dcb6ff #8be6e6 #f2f5fa",
  ),
  day: palette(
    "Day", true, "#ffffff", "#1f2733", "#0d9488", "#cfe3f7",
    "#1f2733 #c02a36 #1b7d39 #8a6100 #1d5fc4 #8a36b8 #0b7580 #6b7686",
    "#4b5666 #d93a46 #22924a #a07300 #2f74e0 #a04dd0 #128a96 #38424f",
  ),
  solarizedDark: palette(
    "Solarized dark", false, "#002b36", "#93a1a1", "#93a1a1", "#0e4a58",
    "#073642 #dc322f #859900 #b58900 #268bd2 #d33682 #2aa198 #eee8d5",
    "#586e75 #cb4b16 #93a81f #c79a1a #4aa3e0 #6c71c4 #46bcb2 #fdf6e3",
  ),
  solarizedLight: palette(
    "Solarized light", true, "#fdf6e3", "#586e75", "#586e75", "#e6dcc0",
    "#073642 #dc322f #718100 #9a7400 #1f78b8 #c22a74 #1f8a82 #93a1a1",
    "#002b36 #cb4b16 #586e75 #657b83 #268bd2 #6c71c4 #2aa198 #073642",
  ),
  gruvbox: palette(
    "Gruvbox", false, "#282828", "#ebdbb2", "#ebdbb2", "#504945",
    "#3c3836 #fb4934 #b8bb26 #fabd2f #83a598 #d3869b #8ec07c #d5c4a1",
    "#7c6f64 #ff6d5a #cdd046 #ffd05c #a1c0b4 #e6a5b8 #a9d69a #fbf1c7",
  ),
  contrast: palette(
    "High contrast", false, "#000000", "#ffffff", "#ffff00", "#0050a0",
    "#000000 #ff5f5f #5fff5f #ffff5f #6fa8ff #ff7fff #5fffff #e5e5e5",
    "#9a9a9a #ff8f8f #8fff8f #ffff8f #9fc5ff #ffa5ff #8fffff #ffffff",
  ),
};

/** The palette that the settings ask for. */
export function chosen(settings) {
  return PALETTES[settings.get("palette")] ?? PALETTES[settings.shade === "light" ? "day" : "night"];
}

/** How text that was found is marked on it. */
export function marks(settings) {
  return chosen(settings).light
    ? { matchBackground: "#ffe28a", matchOverviewRuler: "#c78f00", activeMatchBackground: "#ffbf3f", activeMatchColorOverviewRuler: "#9a5b00" }
    : { matchBackground: "#7a5f1e", matchOverviewRuler: "#c79a1a", activeMatchBackground: "#c79a1a", activeMatchColorOverviewRuler: "#ffd05c" };
}
