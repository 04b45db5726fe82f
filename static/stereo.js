// @ts-check
// Stereo has to be asked for (RFC 7587, section 6.1): Chromium and Safari decode Opus to one channel unless their own description has
// stereo=1, which they never write by themselves. Firefox writes it always.

/**
 * Adds stereo=1, and sprop-stereo=1 where we send stereo, to the parameters of Opus in every audio section.
 * @param {string} sdp a description of this browser's own
 * @param {{stereo?: boolean, music?: boolean}} sound stereo: what we hear has two sides; music: and so may what we send
 * @returns {string} the same text where there is nothing to add
 */
export function withStereo(sdp, { stereo, music }) {
  const wanted = [...(stereo ? ["stereo"] : []), ...(stereo && music ? ["sprop-stereo"] : [])];
  if (!wanted.length) return sdp;
  return sdp.split(/^(?=m=)/m).map((section) => {
    if (!section.startsWith("m=audio ")) return section;
    const opus = /^a=rtpmap:(\d+) opus\/48000(?:\/2)?\r?$/im.exec(section);
    if (!opus) return section;
    return section.replace(new RegExp(`^(a=fmtp:${opus[1]} )([^\\r\\n]*)`, "m"), (_, name, text) => {
      const parameters = text.split(";").map((/** @type {string} */ p) => p.trim());
      const kept = parameters.filter((/** @type {string} */ p) => !wanted.includes(p.split("=")[0].toLowerCase()));
      return name + [...kept, ...wanted.map((key) => `${key}=1`)].join(";");
    });
  }).join("");
}
