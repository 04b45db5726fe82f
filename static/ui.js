// @ts-check
// The page as a whole: which screen is shown, device lists, keys, announcements. With the other ui-*.js files and dom.js
// the only code that touches the document.

import { $, el } from "./dom.js";
import { JoinPage } from "./ui-join.js";
import { Panels } from "./ui-panels.js";
import { PersonDialog } from "./ui-person.js";
import { RoomPage } from "./ui-room.js";
import { Sound } from "./ui-sound.js";

/**
 * @typedef {object} Hooks What the person does.
 * @property {(choice: {room: string, name: string, listen: boolean, muted: boolean}) => void} onJoin
 * @property {() => void} onCheck
 * @property {() => void} onCancel
 * @property {() => void} onShare
 * @property {() => void} onLeave
 * @property {() => void} onAgain
 * @property {() => void} onMute the mute button or M
 * @property {() => boolean} onTalkDown false: not muted, nothing to hold
 * @property {(toggles: boolean) => void} onTalkUp
 * @property {(kind: "input"|"output", id: string) => void} onDevice
 * @property {(key: string, on: boolean) => void} onProcessing
 * @property {(text: string) => boolean} onChat
 * @property {(person: import("./ui-room.js").Person) => void} onPerson
 * @property {(id: string, gain: number) => void} onVolume
 * @property {(id: string, muted: boolean) => void} onMuteOther
 * @property {(name: string) => void} onPanel
 * @property {() => void} onGesture
 */

export class UI {
  /** @type {Hooks} */ #hooks;
  /** @type {string} */ #screen = "";
  /** @type {any} */ #announceTimer = null;
  /** @type {string[]} */ #announcements = [];

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
    this.join = new JoinPage({ onJoin: hooks.onJoin, onCheck: hooks.onCheck, onCancel: hooks.onCancel });
    this.room = new RoomPage({ onShare: hooks.onShare, onLeave: hooks.onLeave, onPerson: hooks.onPerson });
    this.person = new PersonDialog(hooks);
    this.panels = new Panels({ onChat: hooks.onChat, onPanel: hooks.onPanel, onAnnounce: (text) => this.announce(text) });
    this.sound = new Sound((blocked) => { $("unlock").hidden = !blocked; });
    for (const box of document.querySelectorAll("[data-output]")) /** @type {HTMLElement} */ (box).hidden = !this.sound.canChoose;
    for (const button of document.querySelectorAll("[data-test-sound]")) button.addEventListener("click", () => this.sound.test());
    for (const select of /** @type {NodeListOf<HTMLSelectElement>} */ (document.querySelectorAll("[data-devices]"))) {
      select.addEventListener("change", () => hooks.onDevice(/** @type {any} */ (select.dataset.devices), select.value));
    }
    for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("[data-processing]"))) {
      box.addEventListener("change", () => hooks.onProcessing(String(box.dataset.processing), box.checked));
    }
    $("unlock").addEventListener("click", () => { hooks.onGesture(); this.sound.play(); });
    $("end-again").addEventListener("click", hooks.onAgain);
    document.addEventListener("pointerdown", hooks.onGesture);
    document.addEventListener("keydown", (event) => this.#keyDown(event));
    document.addEventListener("keyup", (event) => this.#keyUp(event));
    window.addEventListener("blur", () => hooks.onTalkUp(false)); // the key comes up where we cannot see it
    this.#muteButton();
  }

  /** @param {"join"|"room"|"end"} screen */
  show(screen) {
    for (const id of ["join", "room", "end"]) $(id).hidden = id !== screen;
    document.body.dataset.screen = screen;
    if (this.#screen && this.#screen !== screen) {
      // The focus would fall to the body, and a screen reader would stay silent about the new page.
      $({ join: "join-title", room: "room-title", end: "end-title" }[screen]).focus();
    }
    this.#screen = screen;
  }

  /** @param {string} title */
  title(title) { document.title = title; }

  /**
   * @param {import("./failures.js").Failure} failure
   */
  end(failure) {
    $("end-title").textContent = failure.title;
    $("end-text").textContent = failure.text;
    $("end-again").hidden = !failure.retry && failure.code !== "left";
    $("end-again").textContent = failure.code === "left" ? "Join again" : "Try again";
    this.show("end");
    this.title(`${failure.title} · Parley`);
  }

  /**
   * Says it to screen readers; what comes in one moment is said in one breath.
   * @param {string} text
   */
  announce(text) {
    this.#announcements.push(text);
    if (this.#announceTimer) return;
    this.#announceTimer = setTimeout(() => {
      this.#announceTimer = null;
      const all = this.#announcements.splice(0);
      $("live").textContent = all.length > 3 ? `${all.slice(-2).join(". ")}, and ${all.length - 2} more` : all.join(". ");
    }, 300);
  }

  /**
   * @param {{inputs: import("./devices.js").Device[], outputs: import("./devices.js").Device[]}} devices
   * @param {{input: string, output: string}} chosen
   */
  devices(devices, chosen) {
    for (const select of /** @type {NodeListOf<HTMLSelectElement>} */ (document.querySelectorAll("[data-devices]"))) {
      const input = select.dataset.devices === "input";
      const list = input ? devices.inputs : devices.outputs;
      const id = input ? chosen.input : chosen.output;
      select.replaceChildren(...list.map((device) => el("option", { value: device.id }, device.label)));
      select.value = list.some((device) => device.id === id) ? id : "";
    }
  }

  /** @param {Record<string, boolean>} wishes */
  processing(wishes) {
    for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("[data-processing]"))) {
      box.checked = wishes[String(box.dataset.processing)];
    }
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    if (this.#screen !== "room" || event.ctrlKey || event.metaKey || event.altKey || $("share").open) return;
    if (event.key === "Escape" && this.panels.open) {
      this.panels.show("");
      return;
    }
    if (takesText(event.target)) return;
    if (event.key.toLowerCase() === "m" && !event.repeat) {
      event.preventDefault();
      this.#hooks.onMute();
    } else if (event.key === " " && (!takesSpace(event.target) || event.target === $("mute"))) {
      if (event.target === $("mute") && event.repeat) event.preventDefault();
      if (this.#hooks.onTalkDown()) event.preventDefault(); // no scrolling, no click of the focused mute button
    }
  }

  /** @param {KeyboardEvent} event */
  #keyUp(event) {
    if (event.key !== " " || this.#screen !== "room") return;
    const onMute = event.target === $("mute");
    if (onMute && this.#holding()) event.preventDefault(); // the click that would follow is ours to judge
    this.#hooks.onTalkUp(onMute);
  }

  #holding() { return $("mute").classList.contains("talking"); }

  /** A click mutes or unmutes; holding a finger or the mouse on it while muted talks for as long. */
  #muteButton() {
    const button = $("mute");
    let held = false;
    button.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      if (event.button !== 0) return;
      held = this.#hooks.onTalkDown();
      if (held) button.setPointerCapture(event.pointerId);
    });
    const up = () => { if (held) this.#hooks.onTalkUp(true); };
    button.addEventListener("pointerup", up);
    button.addEventListener("pointercancel", up);
    button.addEventListener("contextmenu", (/** @type {Event} */ event) => event.preventDefault()); // a long touch
    button.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const judged = held && event.detail > 0;
      held = false;
      if (event.detail > 0) button.blur(); // or Space would press it again instead of talking
      if (!judged) this.#hooks.onMute();
    });
  }
}

/** @param {EventTarget | null} target */
function takesText(target) {
  return target instanceof HTMLElement && target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
}

/** @param {EventTarget | null} target */
function takesSpace(target) {
  return target instanceof HTMLElement && target.closest("button, a, select, input, textarea, summary, dialog") !== null;
}
