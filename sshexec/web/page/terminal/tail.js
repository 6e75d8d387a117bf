// Where a stream of terminal output may be cut.

const KEPT = 4096;

const GROUND = 0;
const ESCAPE = 1; // after ESC
const CONTROL = 2; // after ESC [
const STRING = 3; // in OSC, DCS, PM, APC, SOS
const STRING_ESCAPE = 4; // ESC within it, which a backslash makes its end

/** The last bytes that were worked off, so that one knows whether they end within something. */
export class Tail {
  constructor() {
    this.bytes = new Uint8Array(0);
  }

  add(data) {
    if (data.length >= KEPT) this.bytes = data.slice(-KEPT);
    else {
      const kept = this.bytes.subarray(Math.max(0, this.bytes.length + data.length - KEPT));
      const joined = new Uint8Array(kept.length + data.length);
      joined.set(kept);
      joined.set(data, kept.length);
      this.bytes = joined;
    }
  }

  clear() {
    this.bytes = new Uint8Array(0);
  }

  /** How many bytes at the end belong to a sequence or a character that is not complete: it has to be sent again. */
  unfinished() {
    return unfinished(this.bytes);
  }
}

export function unfinished(bytes) {
  let state = GROUND;
  let start = 0;
  let more = 0; // bytes that a UTF-8 character still lacks
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === 0x1b) {
      if (state === STRING) state = STRING_ESCAPE;
      else [state, start] = [ESCAPE, at];
      more = 0;
    } else if (byte === 0x18 || byte === 0x1a) {
      state = GROUND;
    } else if (state === ESCAPE || state === STRING_ESCAPE) {
      if (state === STRING_ESCAPE && byte === 0x5c) state = GROUND;
      else if (byte === 0x5b) state = CONTROL;
      else if ([0x5d, 0x50, 0x58, 0x5e, 0x5f].includes(byte)) state = STRING;
      else if (byte >= 0x30 && byte <= 0x7e) state = GROUND;
    } else if (state === CONTROL) {
      if (byte >= 0x40 && byte <= 0x7e) state = GROUND;
    } else if (state === STRING) {
      if (byte === 0x07) state = GROUND;
    } else if (byte >= 0xc2 && byte <= 0xf4) {
      start = at;
      more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
    } else if (byte >= 0x80 && byte <= 0xbf && more) {
      more -= 1;
    } else more = 0;
  }
  return state !== GROUND || more ? bytes.length - start : 0;
}
