// @ts-check
// Microphones and speakers: asking, choosing, noticing that one came or went. No DOM.

/** @typedef {{id: string, label: string}} Device */
/** @typedef {{input: string, echoCancellation: boolean, noiseSuppression: boolean, autoGainControl: boolean, stereo?: boolean}} MicWish */

export class Devices {
  /** @type {MediaDevices | undefined} */ #media;

  /** @param {MediaDevices | undefined} [media] absent on insecure pages */
  constructor(media = globalThis.navigator?.mediaDevices) {
    this.#media = media;
  }

  /** Whether this page may ask for a microphone at all. */
  get available() {
    return typeof this.#media?.getUserMedia === "function";
  }

  /** @param {() => void} changed */
  watch(changed) {
    this.#media?.addEventListener?.("devicechange", changed);
  }

  /**
   * The chosen microphone, or the default one when the chosen one is gone.
   * @param {MicWish} wish
   * @returns {Promise<MediaStreamTrack>}
   */
  async open(wish) {
    if (!this.#media || !this.available) throw Object.assign(new Error("not a secure page"), { name: "InsecureError" });
    /** @type {MediaTrackConstraints} */
    const audio = {
      echoCancellation: wish.echoCancellation,
      noiseSuppression: wish.noiseSuppression,
      autoGainControl: wish.autoGainControl,
      channelCount: wish.stereo ? 2 : 1,
    };
    try {
      return await this.#ask(wish.input ? { ...audio, deviceId: { exact: wish.input } } : audio);
    } catch (error) {
      const name = /** @type {Error} */ (error).name;
      if (!wish.input || (name !== "OverconstrainedError" && name !== "NotFoundError")) throw error;
      return this.#ask(audio);
    }
  }

  /** @param {MediaTrackConstraints} audio */
  async #ask(audio) {
    const stream = await /** @type {MediaDevices} */ (this.#media).getUserMedia({ audio, video: false });
    const track = stream.getAudioTracks()[0];
    if (!track) throw Object.assign(new Error("no audio track"), { name: "NotFoundError" });
    return track;
  }

  /**
   * Device names are empty until the microphone was allowed once.
   * The first entry, with the id "", stands for the system's default.
   * @returns {Promise<{inputs: Device[], outputs: Device[]}>}
   */
  async list() {
    if (!this.#media?.enumerateDevices) return { inputs: pick([], "audioinput", ""), outputs: pick([], "audiooutput", "") };
    const all = await this.#media.enumerateDevices();
    return { inputs: pick(all, "audioinput", "Microphone"), outputs: pick(all, "audiooutput", "Speaker") };
  }
}

/**
 * @param {MediaDeviceInfo[]} all
 * @param {MediaDeviceKind} kind
 * @param {string} word
 * @returns {Device[]}
 */
function pick(all, kind, word) {
  const ours = all.filter((device) => device.kind === kind);
  // "default" and "communications" are Chrome's aliases of real devices. The first says in its label which one.
  const named = ours.find((device) => device.deviceId === "default")?.label.replace(/^[^-]+- /, "");
  const real = ours.filter((device) => device.deviceId && device.deviceId !== "default" && device.deviceId !== "communications");
  return [
    { id: "", label: named ? `System default (${named})` : "System default" },
    ...real.map((device, index) => ({ id: device.deviceId, label: device.label || `${word} ${index + 1}` })),
  ];
}

/** Whether the microphone was allowed before, so that asking shows no prompt. */
export async function microphoneGranted() {
  try {
    const status = await navigator.permissions.query({ name: /** @type {PermissionName} */ ("microphone") });
    return status.state === "granted";
  } catch {
    return false; // older Safari and Firefox do not know the name
  }
}
