// @ts-check
// The page during the call: roster, banner, the row of controls.

import { $, el, icon } from "./dom.js";
import { meterShare, Ballistics } from "./levels.js";

/**
 * @typedef {object} Person
 * @property {string} id
 * @property {string} name
 * @property {string} kind "browser", "whip" or "whep"
 * @property {boolean} muted
 * @property {boolean} speaking
 * @property {boolean} publishing
 */
/** @typedef {{tile: HTMLElement, name: HTMLElement, state: HTMLElement, mark: HTMLElement, bars: HTMLElement, more: HTMLElement, person: Person, score: number, level: number, volume: number}} Seat */

const HUES = [8, 22, 130, 152, 168, 184, 200, 214, 228, 244, 262, 282, 304, 328, 346]; // without the muddy yellows
const SCORES = ["", "bad", "poor", "good", "excellent"];

export class RoomPage {
  /** @type {Map<string, Seat>} */ #seats = new Map();
  #me = "";
  #onPerson;
  #ballistics = new Ballistics();
  #startedAt = 0;
  #ownLevel = "";
  #key = matchMedia("(pointer: coarse)").matches ? "the button" : "Space";

  /**
   * @param {{onShare: () => void, onLeave: () => void, onPerson: (person: Person) => void}} hooks
   */
  constructor(hooks) {
    this.#onPerson = hooks.onPerson;
    $("share-open").addEventListener("click", hooks.onShare);
    $("alone-share").addEventListener("click", hooks.onShare);
    $("leave").addEventListener("click", hooks.onLeave);
    setInterval(() => this.#tick(), 1000);
  }

  /** @param {string} room */
  enter(room) {
    $("room-title").textContent = room;
    this.#startedAt = performance.now();
    this.#tick();
  }

  /**
   * The whole roster at once: after a join or a resume. Seats that stay keep their place.
   * @param {Person[]} people
   * @param {string} me
   */
  roster(people, me) {
    this.#me = me;
    const ids = new Set(people.map((person) => person.id));
    for (const id of [...this.#seats.keys()]) if (!ids.has(id)) this.remove(id);
    for (const person of people) this.put(person);
    // Oneself first, the others in the order in which they came: a tile never jumps.
    const mine = this.#seats.get(me);
    if (mine) $("roster").prepend(mine.tile);
    this.#count();
  }

  /** @param {Person} person */
  put(person) {
    let seat = this.#seats.get(person.id);
    if (!seat) {
      seat = this.#seat(person);
      this.#seats.set(person.id, seat);
      $("roster").append(seat.tile);
    }
    seat.person = person;
    this.#draw(seat);
    this.#count();
  }

  /** @param {string} id */
  remove(id) {
    this.#seats.get(id)?.tile.remove();
    this.#seats.delete(id);
    this.#count();
  }

  clear() {
    for (const id of [...this.#seats.keys()]) this.remove(id);
  }

  /** @param {{id: string, level: number, speaking: boolean}[]} levels dBov; who is missing is silent */
  levels(levels) {
    const heard = new Map(levels.map((level) => [level.id, level]));
    for (const [id, seat] of this.#seats) {
      const level = heard.get(id);
      const quiet = !level || seat.person.muted;
      this.#level(seat, quiet ? 0 : meterShare(level.level));
      const speaking = !quiet && level.speaking;
      if (seat.person.speaking !== speaking) {
        seat.person.speaking = speaking;
        this.#draw(seat);
      }
    }
  }

  /** @param {{id: string, score: number}[]} qualities */
  qualities(qualities) {
    for (const { id, score } of qualities) {
      const seat = this.#seats.get(id);
      if (!seat || seat.score === score) continue;
      seat.score = score;
      this.#draw(seat);
    }
  }

  /** @param {string} id @param {number} percent of the volume at which I hear somebody */
  volume(id, percent) {
    const seat = this.#seats.get(id);
    if (!seat) return;
    seat.volume = percent;
    this.#draw(seat);
  }

  /**
   * @param {number} db of the own microphone
   * @param {number} elapsedMs
   */
  ownLevel(db, elapsedMs) {
    const level = this.#ballistics.next(meterShare(db), elapsedMs).toFixed(2);
    if (level === this.#ownLevel) return; // this is asked on every frame of the screen
    this.#ownLevel = level;
    $("mute").style.setProperty("--level", level);
  }

  /** @param {{muted: boolean, talking: boolean, listener: boolean}} state */
  mute({ muted, talking, listener }) {
    const button = $("mute");
    const live = !listener && (!muted || talking);
    button.classList.toggle("off", !live);
    button.classList.toggle("talking", talking);
    button.classList.toggle("listener", listener);
    $("mute-icon").setAttribute("href", listener ? "#i-listen" : live ? "#i-mic" : "#i-mic-off");
    $("mute-label").textContent = listener ? "Use mic" : talking ? "Talking" : muted ? "Unmute" : "Mute";
    $("talk-hint").textContent = listener ? "You are listening" : talking ? `Release ${this.#key} to mute again` : muted ? `Hold ${this.#key} to talk` : "";
  }

  /**
   * @param {{tone: "busy"|"bad"|"good", title?: string, text: string, actions?: {label: string, run: () => void}[]} | null} banner
   */
  banner(banner) {
    const box = $("banner");
    box.hidden = !banner;
    $("banner-title").textContent = banner?.title || "";
    $("banner-text").textContent = banner?.text || "";
    $("banner-actions").replaceChildren();
    if (!banner) return;
    box.className = `banner ${banner.tone}`;
    for (const { label, run } of banner.actions || []) {
      const button = el("button", { type: "button", class: "button" }, label);
      button.addEventListener("click", run);
      $("banner-actions").append(button);
    }
  }

  /** @param {Person} person @returns {Seat} */
  #seat(person) {
    const avatar = el("span", { class: "avatar", "aria-hidden": "true" }, initials(person.name));
    avatar.style.setProperty("--hue", String(hue(person.id)));
    const mark = el("span", { class: "mark", "aria-hidden": "true" });
    const name = el("span", { class: "name" });
    const state = el("span", { class: "sr-only" });
    const bars = el("span", { class: "bars", "aria-hidden": "true" }, el("i"), el("i"), el("i"), el("i"));
    const more = el("button", { type: "button", class: "more" });
    more.addEventListener("click", () => this.#onPerson(this.#seats.get(person.id)?.person || person));
    const tile = el(
      "li",
      { class: "tile", "data-participant": person.id },
      el("span", { class: "ring" }, avatar, mark),
      el("span", { class: "label" }, name, bars),
      el("span", { class: "level", "aria-hidden": "true" }, el("span", { class: "meter-bar" })),
      state,
      more,
    );
    return { tile, name, state, mark, bars, more, person, score: 0, level: 0, volume: 100 };
  }

  /** @param {Seat} seat */
  #draw(seat) {
    const { person, tile } = seat;
    const me = person.id === this.#me;
    seat.name.replaceChildren(el("span", { class: "name-text" }, person.name), ...(me ? [el("span", { class: "you" }, "you")] : seat.volume !== 100 ? [el("span", { class: "you" }, volumeText(seat.volume))] : []));
    tile.querySelector(".avatar")?.replaceChildren(initials(person.name));
    const listens = !person.publishing;
    seat.more.hidden = me;
    seat.more.setAttribute("aria-label", `Volume of ${person.name}`);
    tile.classList.toggle("speaking", person.speaking && !person.muted);
    tile.classList.toggle("muted", person.muted);
    tile.classList.toggle("listens", listens);
    seat.mark.replaceChildren(...(listens ? [icon("listen")] : person.muted ? [icon("mic-off")] : []));
    seat.mark.hidden = !listens && !person.muted;
    seat.bars.dataset.score = String(seat.score);
    seat.bars.hidden = seat.score === 0;
    const words = [];
    if (listens) words.push("listening");
    else if (person.muted) words.push("muted");
    else if (person.speaking) words.push("speaking");
    if (person.kind !== "browser" && person.kind) words.push(`joined by ${person.kind.toUpperCase()}`);
    if (seat.volume !== 100) words.push(`volume ${volumeText(seat.volume)}`);
    if (seat.score) words.push(`connection ${SCORES[seat.score] || "unknown"}`);
    const text = words.join(", ");
    if (seat.state.textContent !== text) seat.state.textContent = text;
    tile.title = [person.name, ...words].join(", ");
  }

  /** @param {Seat} seat @param {number} share */
  #level(seat, share) {
    if (Math.abs(share - seat.level) < 0.01) return;
    seat.level = share;
    seat.tile.style.setProperty("--level", share.toFixed(2));
  }

  #count() {
    const count = this.#seats.size;
    $("room-count").textContent = count === 1 ? "1 person" : `${count} people`;
    $("alone").hidden = count !== 1;
    $("roster").dataset.size = count <= 1 ? "one" : count <= 4 ? "few" : count <= 12 ? "some" : "many";
  }

  #tick() {
    const seconds = Math.floor((performance.now() - this.#startedAt) / 1000);
    const pad = (/** @type {number} */ n) => String(n).padStart(2, "0");
    const hours = Math.floor(seconds / 3600);
    $("room-clock").textContent = `${hours ? hours + ":" : ""}${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  }
}

/** @param {number} percent */
export function volumeText(percent) { return percent === 0 ? "silent" : `${percent} %`; }

/** @param {string} name */
function initials(name) {
  const words = name.trim().split(/[\s_.-]+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0]).join("").toUpperCase() || "?";
}

/** @param {string} id */
function hue(id) {
  let hash = 0x811c9dc5; // FNV-1a, then a last stir: ids that differ in one letter shall not look alike
  for (const letter of id) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return HUES[((hash ^ (hash >>> 12)) >>> 0) % HUES.length];
}
