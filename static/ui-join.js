// @ts-check
// The page before the call: name, room, microphone check.

import { $, el } from "./dom.js";
import { meterShare, Ballistics } from "./levels.js";
import { cleanRoom, randomRoom, validRoom } from "./link.js";

/**
 * @typedef {object} JoinHooks
 * @property {(choice: {room: string, name: string, listen: boolean, muted: boolean}) => void} onJoin
 * @property {() => void} onCheck start the microphone
 * @property {() => void} onCancel stop joining
 */

export class JoinPage {
  #ballistics = new Ballistics();
  #meter = $("check-meter");
  #bar = /** @type {HTMLElement} */ ($("check-meter").firstElementChild);
  #heard = false;
  #saidAt = 0;
  #level = "";
  #listenOnly = false;
  #busy = false;

  /** @param {JoinHooks} hooks */
  constructor(hooks) {
    const submit = (/** @type {boolean} */ listen) => {
      const room = cleanRoom($("room-name").value);
      $("room-name").value = room;
      if (!this.#checkRoom(room)) {
        $("room-name").focus();
        return;
      }
      hooks.onJoin({ room, name: $("name").value.trim() || "Guest", listen, muted: $("join-muted").checked });
    };
    $("join-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      if (!this.#busy) submit(this.#listenOnly);
    });
    $("join-listen").addEventListener("click", () => (this.#busy ? hooks.onCancel() : submit(true)));
    $("check-start").addEventListener("click", () => hooks.onCheck());
    $("room-random").addEventListener("click", () => {
      $("room-name").value = randomRoom();
      this.#checkRoom($("room-name").value);
    });
    $("room-name").addEventListener("input", () => this.#hint(""));
  }

  /** @param {string} room */
  #checkRoom(room) {
    const good = validRoom(room);
    this.#hint(good ? "" : room === "" ? "A room needs a name." : "Letters, digits, dashes, dots and underscores, 64 at most.");
    return good;
  }

  /** @param {string} text */
  #hint(text) {
    $("room-hint").textContent = text;
    $("room-name").setAttribute("aria-invalid", String(text !== ""));
  }

  /** @param {{room: string, name: string, invited: boolean}} what */
  show({ room, name, invited }) {
    $("room-name").value = room || randomRoom();
    $("name").value = name;
    $("join-title").textContent = invited ? `Join ${room}` : "Start or join a call";
    this.busy(false);
    if (invited) this.#checkRoom(room);
  }

  /** @param {boolean} busy */
  busy(busy) {
    this.#busy = busy;
    $("join-go").disabled = busy;
    $("join-listen").hidden = this.#listenOnly && !busy;
    $("join-listen").textContent = busy ? "Cancel" : "Join without a microphone";
    $("join-go").textContent = busy ? "Joining…" : this.#listenOnly ? "Join as a listener" : "Join";
  }

  /** There can be no microphone on this page: do not offer one. */
  listenOnly() {
    this.#listenOnly = true;
    $("check").hidden = true;
    this.busy(false);
  }

  /** @param {"off"|"asking"|"live"} state */
  microphone(state) {
    $("check-start").hidden = state === "live";
    $("check-start").disabled = state === "asking";
    $("check-live").hidden = state !== "live";
    this.#heard = false;
    this.#saidAt = performance.now();
    $("check-state").textContent = state === "asking" ? "Please allow it in the browser." : state === "live" ? "Say something…" : "";
  }

  /**
   * @param {number} db
   * @param {number} elapsedMs
   */
  level(db, elapsedMs) {
    const share = this.#ballistics.next(meterShare(db), elapsedMs);
    const level = share.toFixed(2);
    if (level !== this.#level) this.#bar.style.setProperty("--level", level);
    this.#level = level;
    if (!this.#heard && share > 0.25) {
      this.#heard = true;
      $("check-state").textContent = "We can hear you.";
    } else if (!this.#heard && performance.now() - this.#saidAt > 6000) {
      this.#saidAt = Infinity;
      $("check-state").textContent = "Nothing heard yet. Is it the right one, and not muted by a switch?";
    }
    const now = Math.round(share * 20) * 5;
    if (this.#meter.getAttribute("aria-valuenow") !== String(now)) this.#meter.setAttribute("aria-valuenow", String(now));
  }

  /** @param {import("./failures.js").Failure | null} failure */
  failure(failure) {
    const box = $("join-failure");
    box.hidden = !failure;
    if (!failure) return;
    const links = (failure.links || []).map(({ label, href }) => el("a", { href, class: "button" }, label));
    box.replaceChildren(el("strong", {}, failure.title), el("p", {}, failure.text), ...(links.length ? [el("div", { class: "failure-links" }, ...links)] : []));
  }
}
