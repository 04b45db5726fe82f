// @ts-check
// What the banner of a call in trouble says, from the states of its two connections. No DOM.

import { failure } from "./failures.js";

/**
 * @typedef {object} Condition
 * @property {string} call state of call.js
 * @property {string} failed why the call failed, "" when it did not
 * @property {boolean} slow the first connection takes long
 * @property {string} socket state of signal.js
 * @property {string} reason why the socket was lost
 * @property {number} attempt how often it was tried since
 * @property {number} lostForMs since the socket was lost
 * @property {boolean} online what the browser thinks of its network
 */
/** @typedef {{tone: "busy"|"bad"|"good", title?: string, text: string, action?: "rejoin"|"poke"}} Banner */

/** A socket that is back within this time was never missed. */
export const QUIET_LOSS_MS = 700;

/**
 * @param {Condition} now
 * @returns {Banner | null} null: all is well
 */
export function bannerFor(now) {
  if (now.failed) {
    const { title, text } = failure(now.failed);
    return { tone: "bad", title: title + ".", text, action: "rejoin" };
  }
  if (now.socket !== "joined") {
    if (now.lostForMs < QUIET_LOSS_MS) return null;
    const heard = now.call === "connected" ? " The sound goes on." : "";
    if (!now.online) return { tone: "busy", text: "You are offline. Your place is kept for a while." };
    if (now.reason === "draining") return { tone: "busy", text: "The server is restarting. You will be back in a moment." };
    if (now.attempt > 4) return { tone: "busy", text: "The server does not answer. We keep trying." + heard, action: "poke" };
    return { tone: "busy", text: "Reconnecting to the server…" + heard };
  }
  if (now.call === "restarting") return { tone: "busy", text: "The network changed. Bringing the sound back…" };
  if (now.call === "connecting" && now.slow) return { tone: "busy", text: "Connecting the sound. This takes longer than usual…" };
  return null;
}
