// Runs in every page of the tests before the page's own scripts. It keeps the peer connections, records what they receive,
// and bends the network where a test asks for it (window.__kitSettings):
//   iceUrls        keep only ICE server URLs that match this regular expression
//   relayOnly      iceTransportPolicy relay
//   mediaPort      send all media to this UDP port of the server's address instead (an impairment proxy)
//   hideCandidates tell the server none of ours, so that it cannot go around the proxy
//   plain          nothing repairs losses of ours: no RED, no resends and no in-band FEC is agreed
//   noResends      no resends are agreed
//   warm           make the recorder's AudioContext when the page loads, so that its start is not part of what is timed
//   processing     leave echo cancellation, noise suppression and gain control as the page asked
'use strict';
(() => {
  const settings = window.__kitSettings;
  const kit = (window.__kit = { connections: [], capture: null, sockets: [], events: [] });
  const note = (what) => kit.events.push({ at: performance.now(), what });

  if (!settings.processing && navigator.mediaDevices) {
    const devices = navigator.mediaDevices;
    const get = devices.getUserMedia.bind(devices);
    devices.getUserMedia = (constraints) => {
      const audio = constraints?.audio && {
        ...(typeof constraints.audio === 'object' ? constraints.audio : {}),
        echoCancellation: false, noiseSuppression: false, autoGainControl: false,
      };
      return get({ ...constraints, audio });
    };
  }

  const newContext = () => new AudioContext({ sampleRate: 48000, latencyHint: 'interactive' });
  const warm = settings.warm ? newContext() : null;
  document.addEventListener('click', () => { kit.clickedAt ??= performance.now(); }, { capture: true });

  // A recording of one track: chunks of PCM, and those who wait for more of it.
  class Capture {
    constructor(track) {
      this.track = track;
      this.chunks = [];
      this.length = 0;
      this.dropped = 0;
      this.waiting = [];
      this.firstSound = 0;
      this.context = warm ?? newContext();
      this.source = this.context.createMediaStreamSource(new MediaStream([track]));
      this.node = this.context.createScriptProcessor(settings.captureBlock ?? 2048, 1, 1);
      this.node.onaudioprocess = (e) => this.add(new Float32Array(e.inputBuffer.getChannelData(0)));
      this.source.connect(this.node);
      this.node.connect(this.context.destination);
    }
    add(pcm) {
      if (!this.firstSound && pcm.some((s) => Math.abs(s) > 0.003)) this.firstSound = performance.now();
      this.chunks.push(pcm);
      this.length += pcm.length;
      while (this.chunks.length > 48000 * 60 / pcm.length) this.dropped += this.chunks.shift().length;
      this.waiting = this.waiting.filter((w) => !w(this.length));
    }
    // The next seconds of what is received from now on, as base64 of little-endian float32.
    async take(seconds) {
      const from = this.length, want = Math.round(seconds * 48000);
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(
          `only ${this.length - from} of ${want} samples came; context ${this.context.state}, track ${this.track.readyState}`,
        )), seconds * 1000 + 10000);
        this.waiting.push((length) => length - from >= want && (clearTimeout(timer), resolve(), true));
      });
      const pcm = new Float32Array(want);
      let at = this.dropped;
      for (const c of this.chunks) {
        for (let i = 0; i < c.length; i++) {
          const k = at + i - from;
          if (k >= 0 && k < want) pcm[k] = c[i];
        }
        at += c.length;
      }
      const bytes = new Uint8Array(pcm.buffer);
      let text = '';
      for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
      return btoa(text);
    }
    stop() {
      this.node.onaudioprocess = null;
      this.source.disconnect();
      if (this.context !== warm) this.context.close();
    }
  }
  kit.Capture = Capture;

  const Native = window.RTCPeerConnection;
  const stripCandidates = (sdp) => sdp.replace(/^a=(candidate:|end-of-candidates).*\r\n/gm, '');
  const stripRepairs = (sdp) => {
    const red = sdp.match(/^a=rtpmap:(\d+) red\/48000/m)?.[1];
    sdp = sdp.replace(/^a=rtcp-fb:\S+ nack\r\n/gm, '');
    if (!red || !settings.plain) return sdp;
    return sdp.replace(new RegExp(`^a=(rtpmap|fmtp):${red} .*\r\n`, 'gm'), '').replace(new RegExp(`^(m=audio .*) ${red}\\b`, 'm'), '$1');
  };
  // Only UDP over IPv4 goes through the proxy, so that is the only candidate left, with the proxy's port.
  const redirect = (candidate) => {
    const f = candidate.split(' ');
    if (f.length < 8 || f[2].toLowerCase() !== 'udp' || f[4].includes(':')) return null;
    f[5] = String(settings.mediaPort);
    return f.join(' ');
  };
  const redirectSDP = (sdp) => sdp.split('\r\n').flatMap((line) => {
    if (!line.startsWith('a=candidate:')) return [line];
    const c = redirect(line);
    return c ? [c] : [];
  }).join('\r\n');

  window.RTCPeerConnection = class extends Native {
    constructor(config = {}, ...rest) {
      if (settings.iceUrls) {
        const keep = (url) => new RegExp(settings.iceUrls).test(url);
        config = { ...config, iceServers: (config.iceServers ?? []).flatMap((s) => {
          const urls = [s.urls].flat().filter(keep);
          return urls.length ? [{ ...s, urls }] : [];
        }) };
        if (!config.iceServers.length) note('no ice server left');
      }
      if (settings.relayOnly) config = { ...config, iceTransportPolicy: 'relay' };
      super(config, ...rest);
      kit.config = config;
      kit.connections.push(this);
      this.addEventListener('track', (e) => {
        note('track');
        if (e.track.kind !== 'audio' || settings.noCapture) return;
        kit.capture?.stop();
        kit.capture = new Capture(e.track);
      });
      this.addEventListener('connectionstatechange', () => note('connection ' + this.connectionState));
      this.addEventListener('iceconnectionstatechange', () => note('ice ' + this.iceConnectionState));
    }
    setRemoteDescription(d, ...rest) {
      if (settings.mediaPort && d?.sdp) d = { type: d.type, sdp: redirectSDP(d.sdp) };
      if (settings.plain && d?.sdp) d = { type: d.type, sdp: d.sdp.replace('useinbandfec=1', 'useinbandfec=0') };
      return super.setRemoteDescription(d, ...rest);
    }
    addIceCandidate(c, ...rest) {
      if (settings.mediaPort && c?.candidate) {
        const candidate = redirect(c.candidate);
        if (!candidate) return Promise.resolve();
        c = { candidate, sdpMid: c.sdpMid, sdpMLineIndex: c.sdpMLineIndex, usernameFragment: c.usernameFragment };
      }
      return super.addIceCandidate(c, ...rest);
    }
  };

  const NativeSocket = window.WebSocket;
  window.WebSocket = class extends NativeSocket {
    constructor(...args) {
      super(...args);
      kit.sockets.push(this);
      note('socket');
      this.addEventListener('close', () => note('socket closed'));
      this.addEventListener('message', (e) => {
        if (typeof e.data !== 'string') return;
        const type = e.data.match(/"type":"([a-z]+)"/)?.[1];
        if (type && !['levels', 'stats', 'pong', 'quality'].includes(type)) note('got ' + type);
        if (type === 'joined') kit.joined = JSON.parse(e.data);
        if (type === 'participant') (kit.participantEvents ??= []).push(JSON.parse(e.data));
        if (type === 'stats') {
          kit.serverStats = JSON.parse(e.data);
          kit.onServerStats?.();
        }
      });
    }
    send(data) {
      if ((settings.hideCandidates || settings.plain || settings.noResends) && typeof data === 'string') {
        const message = JSON.parse(data);
        if (settings.hideCandidates && message.type === 'candidate') return;
        if (message.sdp && settings.hideCandidates) message.sdp = stripCandidates(message.sdp);
        if (message.sdp && (settings.plain || settings.noResends)) message.sdp = stripRepairs(message.sdp);
        data = JSON.stringify(message);
      }
      super.send(data);
    }
  };

  kit.record = async (seconds) => {
    if (!kit.capture) throw new Error('nothing is received: ' + JSON.stringify(kit.events));
    return kit.capture.take(seconds);
  };

  // The selected candidate pair of the newest connection.
  kit.pair = async () => {
    const pc = kit.connections.at(-1);
    if (!pc) return null;
    const stats = await pc.getStats();
    const byId = (id) => stats.get(id);
    for (const s of stats.values()) {
      if (s.type !== 'transport' || !s.selectedCandidatePairId) continue;
      const pair = byId(s.selectedCandidatePairId), local = byId(pair.localCandidateId), remote = byId(pair.remoteCandidateId);
      return {
        localType: local.candidateType, localAddress: local.address ?? '', localProtocol: local.protocol, relayProtocol: local.relayProtocol ?? '',
        remoteType: remote.candidateType, remoteAddress: remote.address ?? '', remotePort: remote.port, remoteProtocol: remote.protocol,
        iceState: pc.iceConnectionState, servers: (kit.config.iceServers ?? []).map((s) => s.urls).flat(),
      };
    }
    return null;
  };

  // Makes the recording anew, on a new AudioContext: one that got no processor for seconds may never render again.
  kit.recapture = () => {
    const track = kit.capture?.track;
    kit.capture?.stop();
    kit.capture = track ? new Capture(track) : null;
  };

  // What tells a starved browser from a bad call; see pulse_test.go.
  kit.pulse = async () => {
    const { down } = await kit.streams();
    const c = kit.capture;
    return {
      wallMs: performance.now(), audioMs: (c?.context.currentTime ?? 0) * 1000, captured: c?.length ?? 0,
      down, sent: kit.serverStats?.down?.packetsSent ?? 0,
    };
  };

  // The browser's own view of its two streams, from getStats (W3C webrtc-stats); what it does not count is 0.
  kit.streams = async () => {
    const stats = [...(await kit.connections.at(-1).getStats()).values()];
    const of = (type) => stats.find((s) => s.type === type && s.kind === 'audio') ?? {};
    const pick = (s, ...names) => Object.fromEntries(names.map((name) => [name, s[name] ?? 0]));
    return {
      up: pick(of('outbound-rtp'), 'ssrc', 'packetsSent', 'retransmittedPacketsSent', 'nackCount'),
      down: pick(of('inbound-rtp'), 'ssrc', 'packetsReceived', 'packetsLost', 'packetsDiscarded', 'nackCount', 'fecPacketsReceived', 'jitter',
        'concealedSamples', 'silentConcealedSamples', 'concealmentEvents', 'totalSamplesReceived', 'totalSamplesDuration',
        'insertedSamplesForDeceleration', 'removedSamplesForAcceleration', 'jitterBufferDelay', 'jitterBufferEmittedCount'),
    };
  };
})();
