// @ts-check
// The side panel (chat, statistics, sound settings) and the invitation dialog.

import { $, drawing, el } from "./dom.js";
import { qrPath } from "./qr.js";

/** @typedef {"chat"|"stats"|"settings"} PanelName */
const TITLES = { chat: "Chat", stats: "Connection", settings: "Sound" };
/** @type {PanelName[]} */
const PANELS = ["chat", "stats", "settings"];

/**
 * @typedef {object} PanelHooks
 * @property {(text: string) => boolean} onChat false: not sent
 * @property {(name: PanelName | "") => void} onPanel
 * @property {(announcement: string) => void} onAnnounce
 */

export class Panels {
  /** @type {PanelHooks} */ #hooks;
  /** @type {PanelName | ""} */ #open = "";
  #unread = 0;
  /** @type {any} */ #copied = null;

  /** @param {PanelHooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
    for (const name of PANELS) $(`open-${name}`).addEventListener("click", () => this.show(this.#open === name ? "" : name));
    $("panel-close").addEventListener("click", () => this.show(""));
    $("chat-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      const field = $("chat-text");
      const text = field.value.trim();
      if (text && hooks.onChat(text)) field.value = "";
    });
    $("share-close").addEventListener("click", () => $("share").close());
    $("share").addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (event.target === $("share")) $("share").close(); // the backdrop
    });
    $("share-copy").addEventListener("click", () => this.#copy());
    $("share-native").addEventListener("click", () => navigator.share({ title: "Parley", url: $("share-link").value }).catch(() => {}));
    $("share-native").hidden = typeof navigator.share !== "function";
  }

  get open() { return this.#open; }

  /** @param {PanelName | ""} name "" closes */
  show(name) {
    const before = this.#open;
    if (name === before) return;
    this.#open = name;
    $("panel").hidden = name === "";
    for (const panel of PANELS) {
      $(`panel-${panel}`).hidden = panel !== name;
      $(`open-${panel}`).setAttribute("aria-expanded", String(panel === name));
    }
    if (name) {
      $("panel-title").textContent = TITLES[name];
      if (name === "chat") {
        this.#read();
        $("chat-lines").scrollTop = $("chat-lines").scrollHeight;
        $("chat-text").focus();
      } else $("panel-title").focus();
    } else if (before) $(`open-${before}`).focus();
    this.#hooks.onPanel(name);
  }

  /** @param {{name: string, text: string, at: Date, own: boolean}} line */
  chat({ name, text, at, own }) {
    const lines = $("chat-lines");
    const atEnd = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 40;
    const time = el("time", { datetime: at.toISOString() }, at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
    lines.append(el("div", { class: own ? "line own" : "line" }, el("p", { class: "chat-who" }, el("b", {}, own ? "You" : name), " ", time), el("p", { class: "chat-what" }, text)));
    while (lines.children.length > 500) lines.firstElementChild.remove();
    if (atEnd || own) lines.scrollTop = lines.scrollHeight;
    if (this.#open !== "chat" && !own) {
      this.#unread++;
      this.#badge();
      this.#hooks.onAnnounce(`Message from ${name}: ${text}`);
    }
  }

  clear() {
    $("chat-lines").replaceChildren();
    $("chat-text").value = "";
    this.#read();
    this.show("");
    if ($("share").open) $("share").close();
  }

  #read() {
    this.#unread = 0;
    this.#badge();
  }

  #badge() {
    $("chat-badge").hidden = this.#unread === 0;
    $("chat-badge").textContent = this.#unread > 99 ? "99+" : String(this.#unread);
    $("open-chat").setAttribute("aria-label", this.#unread ? `Chat, ${this.#unread} unread` : "Chat");
  }

  /** @param {{title: string, rows: {label: string, value: string, note?: string, bad?: boolean}[]}[]} groups */
  stats(groups) {
    const box = $("panel-stats");
    // Rewritten in place: selection, scroll position and screen-reader focus survive the update every second.
    const shape = groups.map((group) => group.title + ":" + group.rows.map((row) => row.label).join()).join(";");
    if (box.dataset.shape !== shape) {
      box.dataset.shape = shape;
      box.replaceChildren(
        ...groups.map((group) =>
          el("section", { class: "stat-group" }, el("h3", {}, group.title), el("dl", {}, ...group.rows.map((row) => el("div", {}, el("dt", row.note ? { title: row.note } : {}, row.label), el("dd"))))),
        ),
      );
    }
    const cells = box.querySelectorAll("dd");
    groups.flatMap((group) => group.rows).forEach((row, i) => {
      if (cells[i].textContent !== row.value) cells[i].textContent = row.value;
      cells[i].classList.toggle("bad", Boolean(row.bad));
    });
  }

  /**
   * @param {string} link
   * @param {string} note
   */
  share(link, note) {
    $("share-link").value = link;
    $("share-note").textContent = note;
    $("share-note").hidden = note === "";
    const { size, path } = qrPath(link);
    $("share-qr").replaceChildren(drawing(`-3 -3 ${size + 6} ${size + 6}`, path));
    this.#copyState(false);
    $("share").showModal();
    $("share-copy").focus();
  }

  async #copy() {
    const field = $("share-link");
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      // insecure page or no permission: the old way
      field.select();
      if (!document.execCommand("copy")) return;
    }
    this.#copyState(true);
    this.#hooks.onAnnounce("Link copied");
    clearTimeout(this.#copied);
    this.#copied = setTimeout(() => this.#copyState(false), 2500);
  }

  /** @param {boolean} done */
  #copyState(done) {
    $("share-copy-icon").setAttribute("href", done ? "#i-check" : "#i-copy");
    $("share-copy-label").textContent = done ? "Copied" : "Copy";
  }
}
