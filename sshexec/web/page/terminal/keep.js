// The terminals of this tab, kept while the page is loaded anew: which sessions, and what their screens showed.

const KEY = "sshexec.terminals";
const LARGEST = 4_000_000; // characters; browsers give an address five million

/**
 * Keeps terminals.
 * @param {string} user whose they are.
 * @param {Array<{session, host, role, seq, screen, columns, rows, title, active}>} terminals
 */
export function keep(user, terminals) {
  if (!terminals.length) return forget();
  let kept = terminals;
  let text = JSON.stringify({ user, terminals: kept });
  for (let index = 0; text.length > LARGEST && index < terminals.length; index += 1) {
    // Without its screen a terminal gets from the server what that still has.
    kept = kept.map((each, at) => (at <= index ? { ...each, screen: null, seq: null } : each));
    text = JSON.stringify({ user, terminals: kept });
  }
  try {
    sessionStorage.setItem(KEY, text);
  } catch {
    try {
      sessionStorage.setItem(KEY, JSON.stringify({ user, terminals: terminals.map((each) => ({ ...each, screen: null, seq: null })) }));
    } catch {
      // Storage is switched off: the sessions are still in the list of sessions.
    }
  }
  return undefined;
}

/** Takes out what was kept for this user. */
export function kept(user) {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    forget();
    return found?.user === user && Array.isArray(found.terminals) ? found.terminals : [];
  } catch {
    return [];
  }
}

export function forget() {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // There is nothing then.
  }
}
