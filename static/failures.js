// @ts-check
// One clear sentence, and what to do, for each way of failing. No DOM.

/**
 * @typedef {object} Failure
 * @property {string} code
 * @property {string} title what happened
 * @property {string} text what to do about it
 * @property {boolean} [retry] trying again without changing anything makes sense
 * @property {{label: string, href: string}[]} [links]
 */

/** @type {Record<string, Omit<Failure, "code">>} */
const SENTENCES = {
  // microphone
  no_microphone: { title: "No microphone found", text: "Plug one in and it will appear here, or join as a listener." },
  mic_denied: { title: "The microphone is blocked", text: "Click the icon beside the address, allow the microphone for this page and try again. You can also join as a listener." },
  mic_denied_system: { title: "The system blocks the microphone", text: "Allow this browser to use the microphone in the privacy settings of your computer or phone, then try again." },
  mic_in_use: { title: "The microphone is in use", text: "Another program holds it. Close that program (another call, a recorder) and try again, or choose another microphone." },
  mic_failed: { title: "The microphone did not start", text: "Choose another one or plug it in again. You can also join as a listener." },
  insecure: { title: "The microphone needs a secure page", text: "Browsers give the microphone to https pages only. Open the secure address of this server instead." },
  // connection
  unreachable: { title: "The server does not answer", text: "Check your network. We keep trying.", retry: true },
  no_route: { title: "No route for the sound", text: "Your network lets the page through, but not the voice: a firewall or VPN blocks it. Try another network, or ask whoever runs this server to offer TURN.", retry: true },
  dtls: { title: "The secure audio channel failed", text: "Something between you and the server disturbs it. Try again, or try another network.", retry: true },
  browser_old: { title: "This browser is too old", text: "Use a current Chrome, Edge, Firefox or Safari (15 or later)." },
  no_common_codec: { title: "This browser cannot send or play Opus", text: "Use a current Chrome, Edge, Firefox or Safari." },
  // the server says no
  room_full: { title: "The room is full", text: "Wait until somebody leaves and try again.", retry: true },
  server_full: { title: "The server is full", text: "It takes no more people at the moment. Try again in a few minutes.", retry: true },
  draining: { title: "The server is shutting down", text: "It takes no new people. Try again in a minute.", retry: true },
  no_token: { title: "This server wants an invitation", text: "Open the invitation link you were given, or ask somebody in the room for one." },
  bad_token: { title: "The invitation is not valid", text: "The link does not open this room. Ask for a new one." },
  token_expired: { title: "The invitation has expired", text: "Ask whoever invited you for a new link." },
  forbidden: { title: "Not allowed", text: "Your invitation does not permit this." },
  bad_room: { title: "That is not a room name", text: "Use letters, digits, dashes, dots and underscores, 64 at most." },
  bad_name: { title: "That name cannot be used", text: "Use up to 64 printable characters." },
  // the end
  left: { title: "You left the call", text: "The room stays open for the others." },
  kicked: { title: "You were removed from the room", text: "Somebody who looks after the room ended your call." },
  replaced: { title: "You joined somewhere else", text: "The same invitation is in use on another device or in another tab. This one has left.", retry: true },
  closed: { title: "The call has ended", text: "The server closed it.", retry: true },
  internal: { title: "Something went wrong on the server", text: "It was not you. Try again in a moment.", retry: true },
};

/**
 * @param {string} code
 * @param {string} [message] the server's own words, for codes unknown here
 * @returns {Failure}
 */
export function failure(code, message = "") {
  const known = SENTENCES[code];
  if (known) return { code, ...known };
  return { code, title: "The call could not go on", text: message ? `${message} (${code})` : `Reason: ${code}.`, retry: true };
}

/**
 * The failure behind a rejected getUserMedia.
 * @param {unknown} error
 * @returns {Failure}
 */
export function micFailure(error) {
  const { name = "", message = "" } = /** @type {{name?: string, message?: string}} */ (error || {});
  switch (name) {
    case "NotFoundError":
    case "DevicesNotFoundError":
      return failure("no_microphone");
    case "NotAllowedError":
    case "PermissionDeniedError":
    case "SecurityError":
      return failure(/system/i.test(message) ? "mic_denied_system" : "mic_denied");
    case "NotReadableError":
    case "TrackStartError":
    case "AbortError":
      return failure("mic_in_use");
    case "InsecureError":
      return failure("insecure");
    default:
      return failure("mic_failed");
  }
}
