// @ts-check
// What the browser remembers of a person between visits. Storage may be full, blocked or absent: then it forgets. No DOM.

/**
 * @typedef {object} Prefs
 * @property {string} name
 * @property {string} input device id, "" the default one
 * @property {string} output device id
 * @property {boolean} echoCancellation
 * @property {boolean} noiseSuppression
 * @property {boolean} autoGainControl
 */

/** @type {Prefs} */
const DEFAULTS = { name: "", input: "", output: "", echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const KEY = "parley";

/** @param {string} kind "localStorage" or "sessionStorage" @returns {Storage | null} */
function storage(kind) {
  try {
    return /** @type {any} */ (globalThis)[kind] || null;
  } catch {
    return null; // blocked by the browser's privacy settings
  }
}

/** @returns {Prefs} */
export function loadPrefs() {
  /** @type {any} */
  let stored = {};
  try {
    stored = JSON.parse(storage("localStorage")?.getItem(KEY) || "{}") || {};
  } catch {
    // somebody else's bytes under our key
  }
  /** @type {any} */
  const prefs = { ...DEFAULTS };
  for (const key of Object.keys(DEFAULTS)) if (typeof stored[key] === typeof prefs[key]) prefs[key] = stored[key];
  return prefs;
}

/** @param {Partial<Prefs>} change @returns {Prefs} */
export function savePrefs(change) {
  const prefs = { ...loadPrefs(), ...change };
  try {
    storage("localStorage")?.setItem(KEY, JSON.stringify(prefs));
  } catch {
    // full or blocked
  }
  return prefs;
}

/**
 * The token outlives a reload of the tab and nothing else.
 * @param {string} room
 * @param {string} token "" asks for the stored one
 * @returns {string}
 */
export function roomToken(room, token) {
  const key = `${KEY}.token.${room}`;
  try {
    if (token) storage("sessionStorage")?.setItem(key, token);
    else return storage("sessionStorage")?.getItem(key) || "";
  } catch {
    // blocked
  }
  return token;
}
