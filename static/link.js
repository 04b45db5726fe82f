// @ts-check
// Addresses of rooms: what a link says, how one is made, which names a room may have. No DOM.

/**
 * @typedef {object} Link
 * @property {string} room "" on the front page
 * @property {string} token JWT from the fragment; a fragment never leaves the browser
 * @property {string} name
 * @property {boolean} autojoin
 * @property {boolean} relay media through TURN only
 * @property {boolean} listen join without a microphone
 */

/**
 * @param {{pathname: string, hash: string}} location
 * @returns {Link}
 */
export function parseLink(location) {
  const fragment = new URLSearchParams(location.hash.replace(/^#/, ""));
  const path = /^\/r\/([^/]+)\/?$/.exec(location.pathname);
  let room = "";
  try {
    room = path ? decodeURIComponent(path[1]) : "";
  } catch {
    room = path ? path[1] : ""; // not UTF-8; the join page will say what is wrong with it
  }
  return {
    room,
    token: fragment.get("token") || "",
    name: fragment.get("name") || "",
    autojoin: fragment.get("autojoin") === "1",
    relay: fragment.get("relay") === "1",
    listen: fragment.get("listen") === "1",
  };
}

/**
 * The link to give away: no token in it, that is personal.
 * @param {{origin: string}} location
 * @param {string} room
 */
export function roomLink(location, room) {
  return `${location.origin}/r/${encodeURIComponent(room)}`;
}

/**
 * The rule of docs/protocol.md: 1-64 letters (with their marks), digits, "-", "_", ".", not starting with ".".
 * @param {string} room
 */
export function validRoom(room) {
  return /^[\p{L}\p{Nd}_-][\p{L}\p{M}\p{Nd}_.-]*$/u.test(room) && [...room].length <= 64;
}

/**
 * What a person typed, as a room name: a whole link is understood, spaces become dashes.
 * @param {string} text
 */
export function cleanRoom(text) {
  let room = text.trim();
  const link = /\/r\/([^/?#]+)/.exec(room);
  if (link) {
    try {
      room = decodeURIComponent(link[1]);
    } catch {
      room = link[1];
    }
  }
  return room.normalize("NFC").replace(/\s+/g, "-").replace(/-{2,}/g, "-");
}

const ADJECTIVES = ["amber", "brisk", "calm", "clear", "early", "gentle", "golden", "green", "happy", "lucky", "mellow", "quiet", "silver", "sunny", "swift", "warm"];
const NOUNS = ["anchor", "bridge", "canyon", "cedar", "comet", "falcon", "garden", "harbor", "island", "lantern", "meadow", "otter", "river", "sparrow", "summit", "willow"];

/**
 * A room name that can be said over the phone. Not a secret: on an open server whoever knows the name may come in.
 * @param {Uint8Array} [chance] 6 random bytes
 */
export function randomRoom(chance = crypto.getRandomValues(new Uint8Array(6))) {
  const [a, b, ...rest] = chance;
  const number = rest.reduce((sum, byte) => sum * 256 + byte, 0) % 10000;
  return `${ADJECTIVES[a % ADJECTIVES.length]}-${NOUNS[b % NOUNS.length]}-${String(number).padStart(4, "0")}`;
}

/**
 * Whether this name means the machine the browser runs on.
 * @param {string} host as in location.hostname
 */
export function isLoopback(host) {
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/**
 * The HTTPS twin of an insecure address, "" when the server has none.
 * @param {{hostname: string, pathname: string, hash: string}} location
 * @param {string} port
 */
export function httpsAddress(location, port) {
  if (!/^[1-9]\d{0,4}$/.test(port)) return "";
  const suffix = port === "443" ? "" : ":" + port;
  return `https://${location.hostname}${suffix}${location.pathname}${location.hash}`;
}
