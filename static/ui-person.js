// @ts-check
// What one can do about somebody else: a volume for oneself alone, and for admins a mute for everybody.

import { $ } from "./dom.js";
import { volumeText } from "./ui-room.js";
import { gainOf, percentOf } from "./volume.js";

/** @typedef {import("./ui-room.js").Person} Person */

export class PersonDialog {
  /** @type {Person | null} */ #person = null;

  /**
   * @param {object} hooks
   * @param {(id: string, gain: number) => void} hooks.onVolume gain: 0 to 2, linear
   * @param {(id: string, muted: boolean) => void} hooks.onMuteOther
   */
  constructor(hooks) {
    const dialog = $("person");
    $("person-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (event.target === dialog) dialog.close(); // the backdrop
    });
    $("person-volume").addEventListener("input", () => {
      this.#show();
      if (this.#person) hooks.onVolume(this.#person.id, gainOf(Number($("person-volume").value)));
    });
    $("person-mute").addEventListener("click", () => {
      if (this.#person) hooks.onMuteOther(this.#person.id, !this.#person.muted);
      dialog.close();
    });
  }

  /**
   * @param {Person} person
   * @param {number} gain as set now
   * @param {boolean} admin whether I may mute others
   */
  open(person, gain, admin) {
    this.#person = person;
    $("person-name").textContent = person.name;
    $("person-volume").value = String(percentOf(gain));
    $("person-mute").hidden = !admin || !person.publishing;
    $("person-mute").textContent = person.muted ? "Let speak again" : "Mute for everybody";
    this.#show();
    $("person").showModal();
  }

  /** @param {string} id of somebody who has left */
  gone(id) {
    if (this.#person?.id === id && $("person").open) $("person").close();
  }

  #show() {
    $("person-percent").textContent = volumeText(Number($("person-volume").value));
  }
}
