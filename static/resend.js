// @ts-check
// Packets that the network loses are sent again when the server asks for them (RTCP NACK, RFC 4585). Chromium and Safari
// can do that for audio, and do it as soon as their own description says so; by themselves they offer it for video only.

import { withStereo } from "./stereo.js";

/**
 * Adds "a=rtcp-fb:<payload type> nack" to every audio section that has Opus and does not say it yet.
 * @param {string} sdp a description of this browser's own
 * @returns {string} the same text where there is nothing to add. Firefox's is left alone: it would keep the line and send
 *   nothing again
 */
export function withResends(sdp) {
  if (/^o=mozilla/m.test(sdp)) return sdp;
  return sdp.split(/^(?=m=)/m).map((section) => {
    if (!section.startsWith("m=audio ")) return section;
    const opus = /^a=rtpmap:(\d+) opus\/48000(?:\/2)?\r?\n/im.exec(section);
    if (!opus || new RegExp(`^a=rtcp-fb:(?:${opus[1]}|\\*) nack\\r?$`, "m").test(section)) return section;
    const end = opus[0].endsWith("\r\n") ? "\r\n" : "\n";
    return section.replace(opus[0], `${opus[0]}a=rtcp-fb:${opus[1]} nack${end}`);
  }).join("");
}

/**
 * setLocalDescription() for an offer, or for the answer to an offer, with resends offered, and stereo where the room has it, as far
 * as the browser lets us.
 * @param {RTCPeerConnection} pc
 * @param {{stereo?: boolean, music?: boolean}} [sound]
 */
export async function setLocalDescription(pc, sound = {}) {
  const answers = pc.signalingState === "have-remote-offer";
  const own = answers ? await pc.createAnswer() : await pc.createOffer();
  // An answer may only agree to what was offered.
  const wanted = !answers || /^a=rtcp-fb:\S+ nack\r?$/m.test(pc.remoteDescription?.sdp ?? "");
  const edited = withStereo(wanted ? withResends(own.sdp ?? "") : own.sdp ?? "", sound);
  if (edited !== own.sdp) {
    try {
      await pc.setLocalDescription({ type: own.type, sdp: edited });
      return;
    } catch {
      // A browser that lets nobody edit its descriptions: as it wrote it, then. Loss is concealed instead of repaired.
    }
  }
  await pc.setLocalDescription(own);
}
