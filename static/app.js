// @ts-check
// Joins the parts: person (ui), microphone, signaling, call. Holds what the room is; each part holds what it does.

import { QUIET_LOSS_MS, bannerFor } from "./banner.js";
import { Call } from "./call.js";
import { Devices, microphoneGranted } from "./devices.js";
import { failure } from "./failures.js";
import { LevelMeter, audioContext, resumeAudio } from "./levels.js";
import { isLoopback, parseLink, roomLink } from "./link.js";
import { Microphone } from "./mic.js";
import { Move } from "./move.js";
import { loadPrefs, roomToken, savePrefs } from "./prefs.js";
import { Signal, signalURL } from "./signal.js";
import { StatsReader } from "./stats.js";
import { statRows } from "./statsview.js";
import { Talk } from "./talk.js";
import { insecureFailure, invitation, watchPage } from "./ui-page.js";
import { UI } from "./ui.js";
import { Volumes, percentOf } from "./volume.js";

/** @typedef {import("./failures.js").Failure} Failure */
/** @typedef {{type: string, [key: string]: any}} Message */

/** How the microphone is opened in a room for music: nothing that is meant for speech, and both channels. */
const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, stereo: true };

class App {
  #link = parseLink(location);
  #prefs = loadPrefs();
  #devices = new Devices();
  /** @type {Microphone} */ #mic;
  /** @type {LevelMeter | null} */ #meter = null;
  /** @type {Signal | null} */ #signal = null;
  /** @type {Call | null} */ #call = null;
  /** @type {Move | null} */ #move = null; // to another node, under way
  /** @type {Talk} */ #talk;
  /** @type {UI} */ #ui;
  #statsReader = new StatsReader();
  /** @type {any} */ #serverStats = null;
  /** @type {Map<string, any>} */ #people = new Map();
  #me = "";
  #room = "";
  #name = "";
  #token = "";
  #inRoom = false;
  #listener = false; // by choice or for want of a microphone
  #mayPublish = true;
  #callFailure = "";
  #socketState = "idle";
  #socketReason = "";
  #socketAttempt = 0;
  #socketLostAt = -Infinity;
  #wasBroken = false;
  /** @type {any} */ #goodTimer = null; // while good news is shown
  /** @type {any} */ #slowTimer = null;
  #slow = false;
  #meterAt = 0;
  #cancelled = 0; // join attempts that were overtaken
  #admin = false;
  #volumes = new Volumes((id, volume) => this.#signal?.send({ type: "volume", participant: id, volume }));
  #mutedByLink = false;
  #music = false; // the room is for music: the microphone is sent as it is
  #lostMic = false; // it went away during the call and none took its place

  constructor() {
    this.#ui = new UI({
      onJoin: (choice) => this.#join(choice),
      onCheck: () => this.#openMic().then((failed) => this.#ui.join.failure(failed)),
      onCancel: () => this.#cancel(),
      onShare: () => this.#share(),
      onLeave: () => this.#leave(),
      onAgain: () => this.#again(),
      onMute: () => this.#muteKey(),
      onTalkDown: () => !this.#listener && this.#talk.press(),
      onTalkUp: (toggles) => this.#talk.release(toggles),
      onDevice: (kind, id) => this.#chooseDevice(kind, id),
      onProcessing: (key, on) => this.#chooseProcessing(key, on),
      onChat: (text) => {
        const sent = Boolean(this.#signal?.send({ type: "chat", text }));
        if (!sent) this.#ui.announce("Not sent: there is no connection at the moment");
        return sent;
      },
      onPerson: (person) => this.#ui.person.open(person, this.#volumes.get(person.id), this.#admin),
      onVolume: (id, gain) => {
        this.#volumes.set(id, gain);
        this.#ui.room.volume(id, percentOf(gain));
      },
      onMuteOther: (id, muted) => this.#signal?.send({ type: "mute", muted, participant: id }),
      onPanel: () => this.#refreshStats(),
      onGesture: resumeAudio,
    });
    this.#mic = new Microphone(this.#devices, { onTrack: (track) => this.#micChanged(track), onLost: () => this.#micLost() });
    this.#talk = new Talk({
      onLive: (live) => {
        this.#mic.setLive(live);
        this.#sendMute();
      },
      onChange: () => this.#drawMute(),
    });
  }

  get call() { return this.#call; }
  get signal() { return this.#signal; }

  async start() {
    const { room, token } = this.#link;
    if (token) {
      roomToken(room, token);
      this.#hideToken();
    }
    this.#ui.processing(/** @type {any} */ (this.#prefs));
    this.#ui.join.microphone("off");
    this.#showJoin();
    this.#watch();
    if (typeof RTCPeerConnection !== "function" || !("restartIce" in RTCPeerConnection.prototype) || !("connectionState" in RTCPeerConnection.prototype)) {
      this.#end(failure("browser_old"));
      return;
    }
    if (!this.#devices.available) {
      this.#ui.join.failure(insecureFailure());
      this.#ui.join.listenOnly();
    }
    if (this.#link.autojoin && room) {
      // A link may bring people into a room; only they themselves may open their microphone to it.
      const muted = !navigator.webdriver && !isLoopback(location.hostname);
      await this.#join({ room, name: this.#link.name || this.#prefs.name || "Guest", listen: this.#link.listen || !this.#devices.available, muted });
      this.#mutedByLink = muted;
      return;
    }
    if (this.#devices.available && (await microphoneGranted())) await this.#openMic();
    await this.#listDevices();
  }

  // --- before and after the call ---

  #showJoin() {
    const { room, name } = this.#link;
    this.#ui.join.show({ room: this.#room || room, name: name || this.#prefs.name, invited: Boolean(room) });
    this.#ui.title(room ? `${room} · Parley` : "Parley");
    this.#ui.show("join");
  }

  /** The token stays in the tab and leaves the address bar, from where it would be copied to others. */
  #hideToken() {
    const fragment = new URLSearchParams(location.hash.replace(/^#/, ""));
    fragment.delete("token");
    const rest = fragment.toString();
    history.replaceState(null, "", location.pathname + location.search + (rest ? "#" + rest : ""));
  }

  /** @param {{room: string, name: string, listen: boolean, muted: boolean}} choice */
  async #join({ room, name, listen, muted }) {
    if (this.#signal) return;
    const attempt = ++this.#cancelled;
    this.#room = room;
    this.#name = name;
    this.#prefs = savePrefs({ name: name === "Guest" ? this.#prefs.name : name });
    this.#ui.join.failure(null);
    this.#ui.join.busy(true);
    resumeAudio();
    if (listen) await this.#mic.close();
    else if (!this.#mic.track) {
      const failed = await this.#openMic();
      if (attempt !== this.#cancelled) return;
      if (failed && !this.#link.autojoin) {
        this.#ui.join.busy(false);
        this.#ui.join.failure(failed);
        return;
      }
    }
    this.#listener = !this.#mic.track;
    this.#talk.set(muted);
    this.#mic.setLive(this.#talk.live);
    this.#token = roomToken(room, "") || this.#link.token;
    this.#signal = this.#newSignal(signalURL(location), {});
    this.#signal.open();
  }

  /**
   * @param {string} url
   * @param {Partial<import("./signal.js").SignalHooks>} early what is done instead while it is not the call's own
   */
  #newSignal(url, early) {
    const hello = { room: this.#room, name: this.#name, token: this.#token || undefined, redirected: Boolean(early.onJoined) };
    const mine = () => this.#signal === signal;
    /** @type {Signal} */
    const signal = new Signal(url, hello, {
      onJoined: (message) => (mine() ? this.#joined(message) : early.onJoined?.(message)),
      onMessage: (message) => (mine() ? this.#message(message) : early.onMessage?.(message)),
      onState: (state, detail) => (mine() ? this.#signalState(state, detail) : early.onState?.(state, detail)),
      onClosed: (end) => (mine() ? this.#closed(end) : early.onClosed?.(end)),
    });
    return signal;
  }

  #cancel() {
    this.#cancelled++;
    if (this.#signal) this.#signal.leave();
    else this.#ui.join.busy(false);
  }

  #leave() {
    if (this.#signal) this.#signal.leave();
    else this.#showJoin();
  }

  #again() {
    const room = this.#room || this.#link.room;
    if (!room) {
      this.#showJoin();
      return;
    }
    this.#ui.show("join");
    this.#join({ room, name: this.#name || this.#prefs.name || "Guest", listen: this.#listener, muted: this.#talk.muted });
  }

  /** @param {{code: string, message: string}} end */
  #closed({ code, message }) {
    if (code === "replaced" && this.#move) return; // by ourselves, elsewhere
    this.#hangUp();
    const why = failure(code === "bad_token" && !this.#token ? "no_token" : code, message);
    if (!this.#inRoom) {
      this.#ui.join.busy(false);
      this.#ui.join.failure(code === "left" ? null : why); // "left": joining was cancelled
      this.#ui.show("join");
      return;
    }
    this.#inRoom = false;
    this.#end(why);
  }

  /** @param {Failure} why */
  #end(why) {
    this.#mic.close();
    this.#ui.end(why);
  }

  #hangUp() {
    this.#cancelled++;
    this.#move?.cancel();
    this.#move = null;
    this.#signal = null;
    this.#call?.close();
    this.#call = null;
    this.#ui.sound.detach();
    this.#people.clear();
    this.#ui.room.clear();
    this.#ui.panels.clear();
    this.#serverStats = null;
    this.#callFailure = "";
    this.#wasBroken = false;
    clearTimeout(this.#goodTimer);
    this.#goodTimer = null;
    clearTimeout(this.#slowTimer);
    this.#slow = false;
    this.#ui.room.banner(null);
  }

  // --- signaling ---

  /**
   * @param {Message} message
   * @param {boolean} [moved] the call is there already
   */
  #joined(message, moved = false) {
    this.#me = message.participant;
    this.#mayPublish = message.canPublish !== false;
    this.#admin = Boolean(message.admin);
    if (!this.#mayPublish) this.#listener = true;
    this.#people = new Map((message.participants || []).map((/** @type {any} */ person) => [person.id, person]));
    if (!this.#inRoom) this.#enter();
    const me = this.#people.get(this.#me);
    if (me) me.publishing = !this.#listener;
    this.#ui.room.roster([...this.#people.values()], this.#me);
    if (message.resumed && this.#call) {
      this.#call.signalUp(message.iceServers);
      // A socket that fell silent instead of closing: the address under it is gone, and media has the same address.
      if (this.#socketReason === "no answer") this.#call.networkChanged();
    } else if (!moved) this.#newCall(message);
    if (!message.resumed) this.#volumes.again(this.#people.keys());
    this.#setMusic(message.mode === "music");
    this.#sendMute();
    this.#drawMute();
    this.#drawBanner();
  }

  /** @param {boolean} music */
  #setMusic(music) {
    if (music === this.#music) return;
    this.#music = music;
    if (!this.#mic.track) return;
    this.#openMic();
    if (music) this.#notice("This room is for music: your microphone is sent as it is. Please wear headphones.");
  }

  #enter() {
    this.#inRoom = true;
    const address = new URL(roomLink(location, this.#room));
    if (location.pathname !== address.pathname) history.pushState(null, "", address.pathname);
    this.#link = { ...this.#link, room: this.#room, autojoin: false };
    this.#ui.title(`${this.#room} · Parley`);
    this.#ui.room.enter(this.#room);
    this.#ui.show("room");
    if (this.#mutedByLink && !this.#listener) this.#notice("The link brought you in muted. Press M to speak.");
    this.#mutedByLink = false;
    this.#listDevices();
  }

  /** @param {Message} joined */
  #newCall(joined) {
    this.#move?.cancel();
    this.#move = null;
    this.#call?.close();
    this.#callFailure = "";
    this.#serverStats = null;
    this.#statsReader = new StatsReader();
    const call = this.#makeCall(/** @type {Signal} */ (this.#signal), {});
    this.#call = call;
    clearTimeout(this.#slowTimer);
    this.#slow = false;
    this.#slowTimer = setTimeout(() => {
      this.#slow = true;
      this.#drawBanner();
    }, 3000);
    this.#startCall(call, joined);
  }

  /**
   * @param {Signal} signal
   * @param {{onState?: (state: string) => void, onTrack?: (track: MediaStreamTrack) => void}} early what is done instead while
   *   it is not the call's own
   */
  #makeCall(signal, early) {
    /** @type {Call} */
    const call = new Call({
      send: (message) => signal.send(message),
      onState: (state, reason) => (this.#call === call ? this.#callState(state, reason) : early.onState?.(state)),
      onTrack: (track) => (this.#call === call ? this.#ui.sound.attach(track) : early.onTrack?.(track)),
      freshServers: () => freshServers(this.#token, signal.origin),
    });
    return call;
  }

  /** @param {Call} call @param {Message} joined */
  #startCall(call, joined) {
    call.start({
      iceServers: joined.iceServers || [],
      iceTransportPolicy: this.#link.relay || joined.iceTransportPolicy === "relay" ? "relay" : "all",
      track: this.#mayPublish ? this.#mic.track : null,
      publish: this.#mayPublish,
      subscribe: joined.canSubscribe !== false,
      stereo: Boolean(joined.stereo),
      music: joined.mode === "music",
    });
  }

  /** The node is going to stop: a seat on another, and then away from this one. @param {Message} message */
  #moveAway(message) {
    if (this.#move || !Array.isArray(message.nodes)) return;
    this.#move = new Move(message.nodes, Number(message.withinMs) || 0, {
      signal: (url, hooks) => this.#newSignal(url, hooks),
      call: (signal, hooks) => this.#makeCall(signal, hooks),
      start: (call, joined) => this.#startCall(call, joined),
      failed: () => {
        this.#move = null;
        if (this.#signal?.state === "closed") this.#closed({ code: "replaced", message: "" });
      },
      done: (there) => {
        const { signal, call } = this;
        this.#move = null;
        this.#signal = there.signal;
        this.#call = there.call;
        this.#callFailure = "";
        this.#statsReader = new StatsReader();
        if (there.track) this.#ui.sound.attach(there.track);
        this.#socketState = "joined";
        this.#joined(there.joined, true);
        for (const message of there.messages) this.#message(message);
        signal?.leave();
        call?.close();
      },
    });
  }

  /** @param {Message} message */
  #message(message) {
    if (this.#call?.handle(message)) return;
    switch (message.type) {
      case "move":
        this.#moveAway(message);
        break;
      case "participant":
        this.#participant(message);
        break;
      case "levels":
        this.#ui.room.levels(message.levels || []);
        break;
      case "mute":
        this.#muted(Boolean(message.muted), String(message.by || ""));
        break;
      case "quality":
        this.#ui.room.qualities(message.qualities || []);
        break;
      case "stats":
        this.#serverStats = message;
        break;
      case "chat":
        this.#ui.panels.chat({ name: String(message.name || "Guest"), text: String(message.text), at: new Date(message.at || Date.now()), own: message.from === this.#me });
        break;
      case "error":
        if (message.code === "too_many_volumes") this.#notice("This volume could not be set: too many people have volumes of their own here.");
        else if (message.re === "chat") this.#notice(message.code === "rate_limited" ? "Too many messages at once. The last one was not sent." : "The message could not be sent.");
        else console.warn("parley: the server refused", message.re, message.code, message.message);
        break;
    }
  }

  /** @param {Message} message */
  #participant({ event, participant, reason }) {
    const known = this.#people.get(participant.id);
    if (event === "left") {
      this.#people.delete(participant.id);
      this.#ui.room.remove(participant.id);
      this.#ui.person.gone(participant.id);
      this.#volumes.forget(participant.id);
      if (known) this.#ui.announce(`${known.name} ${reason === "timeout" || reason === "node_lost" ? "lost the connection" : "left"}`);
      return;
    }
    const person = { ...known, ...participant };
    this.#people.set(participant.id, person);
    if (person.id === this.#me) this.#drawMute();
    else this.#ui.room.put(person);
    if (!known) this.#ui.announce(`${person.name} joined`);
    else if (known.muted !== person.muted && person.id !== this.#me) this.#ui.announce(`${person.name} ${person.muted ? "muted" : "unmuted"}`);
  }

  /**
   * @param {string} state
   * @param {{reason: string, attempt: number}} detail
   */
  #signalState(state, { reason, attempt }) {
    if (this.#socketState === "joined" && state === "waiting") {
      this.#socketLostAt = performance.now();
      setTimeout(() => this.#drawBanner(), QUIET_LOSS_MS + 20);
    }
    this.#socketState = state;
    this.#socketReason = reason;
    this.#socketAttempt = attempt;
    if (state === "waiting") {
      this.#call?.signalDown();
      this.#ui.room.levels([]); // nobody tells us who speaks
      if (!this.#inRoom && attempt >= 2) this.#ui.join.failure(failure(reason === "draining" ? "draining" : "unreachable"));
    }
    this.#drawBanner();
  }

  // --- call ---

  /**
   * @param {string} state
   * @param {string} reason
   */
  #callState(state, reason) {
    this.#callFailure = state === "failed" ? reason : "";
    if (state === "connected") {
      clearTimeout(this.#slowTimer);
      this.#slow = false;
    } else if (state === "restarting") {
      this.#signal?.poke(); // what ended the path may have ended the socket, which notices much later
    }
    this.#drawBanner();
  }

  #drawBanner() {
    if (!this.#inRoom) return;
    const banner = bannerFor({
      call: this.#call?.state || "idle", failed: this.#callFailure, slow: this.#slow,
      socket: this.#socketState, reason: this.#socketReason, attempt: this.#socketAttempt,
      lostForMs: performance.now() - this.#socketLostAt, online: navigator.onLine !== false,
    });
    if (banner) {
      clearTimeout(this.#goodTimer);
      this.#goodTimer = null;
      this.#wasBroken = true;
      const rejoin = { label: "Try again", run: () => this.#signal?.rejoin() };
      const poke = { label: "Try now", run: () => this.#signal?.poke() };
      const actions = banner.action ? [{ rejoin, poke }[banner.action]] : [];
      this.#ui.room.banner({ ...banner, actions });
    } else if (this.#wasBroken) {
      this.#wasBroken = false;
      this.#goodNews("Connected.", 2500);
    } else if (!this.#goodTimer) this.#ui.room.banner(null);
  }

  /** @param {string} text @param {number} ms */
  #goodNews(text, ms) {
    clearTimeout(this.#goodTimer);
    this.#ui.room.banner({ tone: "good", text });
    this.#goodTimer = setTimeout(() => {
      this.#goodTimer = null;
      this.#drawBanner();
    }, ms);
  }

  async #refreshStats() {
    if (this.#ui.panels.open !== "stats" || !this.#call) return;
    const call = this.#call;
    const client = this.#statsReader.read(await call.stats());
    if (this.#ui.panels.open !== "stats" || call !== this.#call) return;
    this.#ui.panels.stats(statRows(client, this.#serverStats, { socketRttMs: this.#signal ? this.#signal.rttMs : null, state: call.state }));
  }

  // --- microphone, mute, devices ---

  /** @returns {Promise<Failure | null>} */
  async #openMic() {
    if (!this.#devices.available) return insecureFailure();
    if (!this.#inRoom) this.#ui.join.microphone("asking");
    const failed = await this.#mic.open(this.#music ? { ...this.#prefs, ...RAW } : this.#prefs);
    if (!this.#inRoom) this.#ui.join.microphone(failed ? "off" : "live");
    await this.#listDevices();
    return failed;
  }

  /** @param {MediaStreamTrack | null} track */
  #micChanged(track) {
    this.#meter?.close();
    this.#meter = null;
    const context = track && audioContext();
    if (track && context) {
      try {
        this.#meter = new LevelMeter(context, track);
      } catch {
        // a meter is a nicety; Firefox refuses tracks of another sample rate than the context's
      }
      resumeAudio();
    }
    if (this.#inRoom && this.#mayPublish) {
      this.#listener = !track;
      this.#call?.setTrack(track).catch(() => {});
      this.#drawMute();
    } else if (!track && !this.#inRoom) this.#ui.join.microphone("off");
  }

  /** Unplugged, or the permission was taken back: take the next one, else listen. */
  async #micLost() {
    const failed = await this.#openMic();
    this.#lostMic = Boolean(failed);
    if (failed) {
      this.#notice(`${failed.title}. You are listening only.`);
      if (!this.#inRoom) this.#ui.join.failure(failed);
    } else this.#notice(`The microphone was unplugged. Now using ${this.#mic.label || "another one"}.`);
  }

  /** @param {string} text */
  #notice(text) {
    this.#ui.announce(text);
    if (this.#inRoom) this.#goodNews(text, 5000);
  }

  async #muteKey() {
    if (this.#listener) {
      if (!this.#mayPublish) {
        this.#notice("Your invitation is for listening only.");
        return;
      }
      const failed = await this.#openMic();
      if (failed) this.#notice(`${failed.title}. ${failed.text}`);
      return;
    }
    this.#talk.toggle();
    this.#ui.announce(this.#talk.muted ? "You are muted" : "You are no longer muted");
  }

  /** @param {boolean} muted @param {string} by */
  #muted(muted, by) {
    if (by === "self" || by === this.#me || muted === !this.#talk.live) return;
    const who = this.#people.get(by)?.name || "The server";
    if (muted) {
      this.#talk.set(true);
      this.#notice(`${who} muted you. Press M to unmute.`);
    } else {
      // Nobody opens a microphone from afar.
      this.#sendMute();
      this.#notice(`${who} lets you speak again. Press M to unmute.`);
    }
  }

  #sendMute() {
    this.#signal?.send({ type: "mute", muted: !this.#talk.live });
  }

  #drawMute() {
    const me = this.#people.get(this.#me);
    if (me) {
      me.muted = !this.#talk.live && !this.#listener; // nobody knows better than we
      me.publishing = !this.#listener;
      this.#ui.room.put(me);
    }
    this.#ui.room.mute({ muted: this.#talk.muted, talking: this.#talk.talking, listener: this.#listener });
  }

  async #listDevices() {
    const { input, output } = this.#prefs;
    this.#ui.devices(await this.#devices.list(), { input, output });
  }

  /** @param {"input"|"output"} kind @param {string} id */
  async #chooseDevice(kind, id) {
    this.#prefs = savePrefs({ [kind]: id });
    if (kind === "output") {
      if (!(await this.#ui.sound.choose(id))) this.#notice("That loudspeaker cannot be used. The default one plays.");
    } else if (this.#mic.track || !this.#inRoom) {
      const failed = await this.#openMic();
      if (this.#inRoom) {
        if (failed) this.#notice(`${failed.title}. ${failed.text}`);
      } else this.#ui.join.failure(failed);
    }
    await this.#listDevices();
  }

  /** @param {string} key @param {boolean} on */
  async #chooseProcessing(key, on) {
    this.#prefs = savePrefs({ [key]: on });
    if (this.#mic.track) await this.#openMic();
  }

  /** Something was plugged in or out. A lost microphone announces itself by its track; see #micLost. */
  async #devicesChanged() {
    const devices = await this.#devices.list();
    const { input, output } = this.#prefs;
    this.#ui.devices(devices, { input, output });
    const chosenIsBack = input && devices.inputs.some((device) => device.id === input) && this.#mic.track && this.#mic.deviceId !== input;
    const firstOne = this.#inRoom && this.#lostMic && devices.inputs.length > 1; // beyond "System default"
    if (chosenIsBack || firstOne) {
      const failed = await this.#openMic();
      this.#lostMic &&= Boolean(failed);
      if (!failed) this.#notice(`Now using ${this.#mic.label || "the microphone that was plugged in"}.`);
    }
    if (output) await this.#ui.sound.choose(devices.outputs.some((device) => device.id === output) ? output : "");
  }

  // --- the world outside ---

  #watch() {
    this.#devices.watch(() => this.#devicesChanged());
    watchPage({
      onNetwork: () => {
        this.#signal?.poke();
        this.#call?.networkChanged();
        this.#drawBanner();
      },
      onOffline: () => this.#drawBanner(),
      onVisible: () => {
        this.#signal?.poke();
        resumeAudio();
        this.#ui.sound.play();
      },
      onGone: () => this.#signal?.leave(),
      onHistory: () => {
        if (parseLink(location).room === this.#link.room) return; // only the fragment changed
        if (this.#signal && this.#inRoom) this.#signal.leave();
        this.#link = parseLink(location);
        this.#room = "";
        this.#showJoin();
      },
    });
    const frame = (/** @type {number} */ now) => {
      const elapsed = Math.min(200, now - this.#meterAt);
      this.#meterAt = now;
      const db = this.#meter ? this.#meter.read() : -100;
      if (this.#inRoom) this.#ui.room.ownLevel(db, elapsed);
      else this.#ui.join.level(db, elapsed);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    setInterval(() => this.#refreshStats(), 1000);
  }

  #share() {
    const { link, note } = invitation(this.#room, roomToken(this.#room, "") !== "");
    this.#ui.panels.share(link, note);
  }
}

/**
 * ICE servers with credentials that are good now.
 * @param {string} token
 * @param {string} origin of the node that the call is at
 * @returns {Promise<RTCIceServer[] | null>}
 */
async function freshServers(token, origin) {
  const answer = await fetch(`${origin}/api/v1/ice`, { cache: "no-store", headers: token ? { Authorization: `Bearer ${token}` } : {} });
  return answer.ok ? (await answer.json()).iceServers : null;
}

const app = new App();
Object.defineProperty(window, "parley", {
  value: Object.freeze({
    get call() { return app.call; },
    get signal() { return app.signal; },
  }),
});
app.start();
