// @ts-check
// The level of a track, for meters: peak-hold over an AnalyserNode, in dBFS. Nothing here is heard. No DOM.

const FLOOR_DB = -100;

/** @type {AudioContext | null} */
let shared = null;

/** One audio context for the page; browsers allow only a few. @returns {AudioContext | null} */
export function audioContext() {
  const Context = globalThis.AudioContext;
  if (!Context) return null;
  if (!shared || shared.state === "closed") shared = new Context({ latencyHint: "interactive" });
  return shared;
}

/** Browsers start it only after a gesture; every gesture may call this. */
export function resumeAudio() {
  if (shared && shared.state !== "running") shared.resume().catch(() => {});
}

export class LevelMeter {
  /** @type {AnalyserNode} */ #analyser;
  /** @type {MediaStreamAudioSourceNode} */ #source;
  /** @type {Float32Array<ArrayBuffer>} */ #samples;

  /**
   * @param {AudioContext} context
   * @param {MediaStreamTrack} track
   */
  constructor(context, track) {
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 2048; // 43 ms at 48 kHz: longer than a frame of the screen, so no peak is missed
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source = context.createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(this.#analyser);
  }

  /** RMS of the last 43 ms in dBFS, -100 (silence) to 0. */
  read() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    return rmsDB(this.#samples);
  }

  close() {
    this.#source.disconnect();
  }
}

/**
 * @param {ArrayLike<number>} samples in [-1, 1]
 * @returns {number} dBFS, -100 to 0
 */
export function rmsDB(samples) {
  let sum = 0;
  for (let i = 0; i < samples.length; i++) sum += samples[i] * samples[i];
  if (sum === 0 || samples.length === 0) return FLOOR_DB;
  return Math.min(0, Math.max(FLOOR_DB, 10 * Math.log10(sum / samples.length)));
}

/**
 * A level as a share of a meter: -60 dB is nothing, -10 dB (a loud voice) is all of it.
 * @param {number} db
 * @returns {number} 0..1
 */
export function meterShare(db) {
  return Math.min(1, Math.max(0, (db + 60) / 50));
}

/** Rises at once and falls slowly, as eyes expect of a meter. */
export class Ballistics {
  #value = 0;

  /**
   * @param {number} share 0..1
   * @param {number} elapsedMs since the last call
   */
  next(share, elapsedMs) {
    this.#value = Math.max(share, this.#value * Math.exp(-elapsedMs / 180));
    if (this.#value < 0.004) this.#value = 0;
    return this.#value;
  }
}
