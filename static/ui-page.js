// @ts-check
// What the server wrote into the page, and what the browser tells about it: network, visibility, history.

import { failure } from "./failures.js";
import { httpsAddress, isLoopback, roomLink } from "./link.js";

/** @param {string} name of a meta element in index.html @returns {string} */
function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") || "";
}

/**
 * Why there is no microphone on a page that came over plain HTTP, and where to find one that has it.
 * @returns {import("./failures.js").Failure}
 */
export function insecureFailure() {
  const address = httpsAddress(location, meta("https-port"));
  const why = failure("insecure");
  if (!address) return { ...why, text: "Browsers give the microphone to https pages only, and this server has none. You can still join as a listener." };
  const links = [{ label: "Open " + new URL(address).host, href: address }];
  if (meta("local-ca") === "1") links.push({ label: "Trust this server first", href: "/ca" });
  return { ...why, links };
}

/**
 * The link to give away, and what whoever gets it must know.
 * @param {string} room
 * @param {boolean} withToken this person needed one to come in
 * @returns {{link: string, note: string}}
 */
export function invitation(room, withToken) {
  const here = { link: roomLink(location, room), note: "" };
  if (isLoopback(location.hostname)) {
    const base = meta("share-base");
    if (!base) return { ...here, note: "This address works on this computer only. For others, open the page at the address of this computer in your network first." };
    const note = meta("local-ca") === "1" ? `On a new device, open ${new URL(base).host}/ca first and trust this server.` : "";
    return { link: roomLink({ origin: base }, room), note };
  }
  if (withToken) return { ...here, note: "Everybody needs an invitation of their own to come in; yours is not part of this link." };
  return here;
}

/**
 * @param {object} hooks
 * @param {() => void} hooks.onNetwork another network, or one again
 * @param {() => void} hooks.onOffline
 * @param {() => void} hooks.onVisible
 * @param {() => void} hooks.onGone the page is being left
 * @param {() => void} hooks.onHistory back or forward
 */
export function watchPage({ onNetwork, onOffline, onVisible, onGone, onHistory }) {
  window.addEventListener("online", onNetwork);
  window.addEventListener("offline", onOffline);
  const network = /** @type {any} */ (navigator).connection;
  let type = network?.type;
  network?.addEventListener?.("change", () => {
    if (network.type === type) return; // only its bandwidth estimate changed
    type = network.type;
    if (navigator.onLine) onNetwork();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") onVisible();
  });
  window.addEventListener("pagehide", onGone);
  window.addEventListener("popstate", onHistory);
}
