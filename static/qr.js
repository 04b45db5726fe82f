// @ts-check
// A QR code encoder for links: byte mode, error correction level M, versions 1 to 20 (660 bytes), by ISO/IEC 18004:2015.
// No DOM.

// Per version, level M (table 9): error correction codewords per block, blocks in all. Total codewords follow from the
// number of modules that function patterns leave free.
const EC_PER_BLOCK = [0, 10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26];
const BLOCKS = [0, 1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];
const MAX_VERSION = 20;
const LEVEL_M = 0; // its two bits in the format information (table 12)

/**
 * The code as rows of modules, true is dark. Without the quiet zone, which must be 4 modules wide.
 * @param {string} text
 * @param {number} [mask] 0-7; by default the one with the least penalty
 * @returns {boolean[][]}
 */
export function qrCode(text, mask) {
  const bytes = new TextEncoder().encode(text);
  const version = fittingVersion(bytes.length);
  const bits = interleave(dataCodewords(bytes, version), version);
  const masks = mask === undefined ? [0, 1, 2, 3, 4, 5, 6, 7] : [mask];
  /** @type {boolean[][]} */
  let best = [];
  let least = Infinity;
  for (const candidate of masks) {
    const code = draw(version, bits, candidate);
    const cost = masks.length > 1 ? penalty(code) : 0;
    if (cost < least) [best, least] = [code, cost];
  }
  return best;
}

/**
 * The code as one SVG path in units of modules.
 * @param {string} text
 * @returns {{size: number, path: string}}
 */
export function qrPath(text) {
  const code = qrCode(text);
  let path = "";
  code.forEach((row, y) => {
    for (let x = 0; x < row.length; x++) {
      if (!row[x]) continue;
      const start = x;
      while (x + 1 < row.length && row[x + 1]) x++;
      path += `M${start} ${y}h${x - start + 1}v1h-${x - start + 1}z`;
    }
  });
  return { size: code.length, path };
}

/** @param {number} version */
function alignment(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const last = version * 4 + 10;
  // Even steps from the far end back to 6 (annex E); only version 32 breaks this rule.
  const step = Math.ceil((last - 6) / (count - 1) / 2) * 2;
  const centres = [6];
  for (let i = count - 2; i >= 0; i--) centres.push(last - i * step);
  return centres;
}

/** @param {number} version */
function totalCodewords(version) {
  const size = version * 4 + 17;
  const centres = alignment(version).length;
  let free = size * size - 3 * 64 - 2 * 15 - 1 - 2 * (size - 16); // finders, format, dark module, timing
  if (centres) free -= (centres * centres - 3) * 25 - (centres - 2) * 2 * 5; // those on the timing lines share 5 modules
  if (version >= 7) free -= 36;
  return Math.floor(free / 8);
}

/** @param {number} version */
function capacity(version) {
  return totalCodewords(version) - EC_PER_BLOCK[version] * BLOCKS[version];
}

/** @param {number} length in bytes */
function fittingVersion(length) {
  for (let version = 1; version <= MAX_VERSION; version++) {
    const header = 4 + (version < 10 ? 8 : 16);
    if (Math.ceil((header + length * 8) / 8) <= capacity(version)) return version;
  }
  throw new RangeError("text too long for a QR code");
}

/**
 * @param {Uint8Array} bytes
 * @param {number} version
 * @returns {number[]}
 */
function dataCodewords(bytes, version) {
  /** @type {number[]} */
  const bits = [];
  const put = (/** @type {number} */ value, /** @type {number} */ length) => {
    for (let i = length - 1; i >= 0; i--) bits.push((value >> i) & 1);
  };
  put(0b0100, 4); // byte mode
  put(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  const room = capacity(version) * 8;
  put(0, Math.min(4, room - bits.length));
  while (bits.length % 8) bits.push(0);
  const words = [];
  for (let i = 0; i < bits.length; i += 8) words.push(parseInt(bits.slice(i, i + 8).join(""), 2));
  for (let pad = 0xec; words.length < capacity(version); pad ^= 0xec ^ 0x11) words.push(pad);
  return words;
}

/**
 * Splits into blocks, appends their error correction, and takes the blocks' codewords in turn.
 * @param {number[]} words
 * @param {number} version
 * @returns {number[]} bits, remainder bits included
 */
function interleave(words, version) {
  const count = BLOCKS[version];
  const short = Math.floor(words.length / count);
  const longer = words.length % count; // these come last and hold one codeword more
  /** @type {number[][]} */
  const blocks = [];
  for (let i = 0, at = 0; i < count; i++) {
    const length = short + (i >= count - longer ? 1 : 0);
    blocks.push(words.slice(at, at + length));
    at += length;
  }
  const corrections = blocks.map((block) => errorCorrection(block, EC_PER_BLOCK[version]));
  const out = [];
  for (let i = 0; i <= short; i++) for (const block of blocks) if (i < block.length) out.push(block[i]);
  for (let i = 0; i < EC_PER_BLOCK[version]; i++) for (const block of corrections) out.push(block[i]);
  return out.flatMap((word) => [7, 6, 5, 4, 3, 2, 1, 0].map((i) => (word >> i) & 1));
}

/**
 * Multiplication in GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1.
 * @param {number} a
 * @param {number} b
 */
function times(a, b) {
  let product = 0;
  for (let i = 7; i >= 0; i--) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    product ^= ((b >> i) & 1) * a;
  }
  return product;
}

/**
 * Reed-Solomon: the remainder of the block by (x - 1)(x - a)…(x - a^(n-1)).
 * @param {number[]} block
 * @param {number} n
 * @returns {number[]}
 */
export function errorCorrection(block, n) {
  const generator = new Array(n).fill(0); // without the leading 1
  generator[n - 1] = 1;
  for (let i = 0, root = 1; i < n; i++, root = times(root, 2)) {
    for (let j = 0; j < n; j++) generator[j] = times(generator[j], root) ^ (j + 1 < n ? generator[j + 1] : 0);
  }
  const rest = new Array(n).fill(0);
  for (const word of block) {
    const factor = word ^ rest.shift();
    rest.push(0);
    for (let j = 0; j < n; j++) rest[j] ^= times(generator[j], factor);
  }
  return rest;
}

/** @type {((x: number, y: number) => boolean)[]} table 10, i = y, j = x */
const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/**
 * @param {number} version
 * @param {number[]} bits
 * @param {number} mask
 * @returns {boolean[][]}
 */
function draw(version, bits, mask) {
  const size = version * 4 + 17;
  /** @type {(boolean | undefined)[][]} undefined: no function pattern there */
  const code = Array.from({ length: size }, () => new Array(size).fill(undefined));
  const set = (/** @type {number} */ x, /** @type {number} */ y, /** @type {boolean} */ dark) => {
    if (x >= 0 && y >= 0 && x < size && y < size) code[y][x] = dark;
  };
  for (let i = 0; i < size; i++) {
    set(i, 6, i % 2 === 0);
    set(6, i, i % 2 === 0);
  }
  for (const [cx, cy] of [[3, 3], [size - 4, 3], [3, size - 4]]) {
    for (let dy = -4; dy <= 4; dy++) {
      for (let dx = -4; dx <= 4; dx++) {
        const ring = Math.max(Math.abs(dx), Math.abs(dy));
        set(cx + dx, cy + dy, ring !== 2 && ring !== 4);
      }
    }
  }
  const centres = alignment(version);
  const last = centres.length - 1;
  centres.forEach((cx, i) => centres.forEach((cy, j) => {
    if ((i === 0 && j === 0) || (i === 0 && j === last) || (i === last && j === 0)) return; // finders are there
    for (let dy = -2; dy <= 2; dy++) for (let dx = -2; dx <= 2; dx++) set(cx + dx, cy + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
  }));
  const format = formatBits(mask);
  const bit = (/** @type {number} */ value, /** @type {number} */ i) => ((value >> i) & 1) === 1;
  for (let i = 0; i < 15; i++) {
    const dark = bit(format, i);
    // one copy round the upper left finder, one split between the other two (figure 25)
    if (i < 6) set(8, i, dark);
    else if (i < 8) set(8, i + 1, dark);
    else if (i === 8) set(7, 8, dark);
    else set(14 - i, 8, dark);
    if (i < 8) set(size - 1 - i, 8, dark);
    else set(8, size - 15 + i, dark);
  }
  set(8, size - 8, true);
  if (version >= 7) {
    const info = versionBits(version);
    for (let i = 0; i < 18; i++) {
      set(size - 11 + (i % 3), Math.floor(i / 3), bit(info, i));
      set(Math.floor(i / 3), size - 11 + (i % 3), bit(info, i));
    }
  }
  let next = 0;
  for (let right = size - 1, up = true; right > 0; right -= 2, up = !up) {
    if (right === 6) right = 5; // the timing column is skipped
    for (let i = 0; i < size; i++) {
      const y = up ? size - 1 - i : i;
      for (const x of [right, right - 1]) {
        if (code[y][x] !== undefined) continue;
        code[y][x] = (bits[next++] === 1) !== MASKS[mask](x, y); // beyond the end: remainder bits, 0
      }
    }
  }
  return /** @type {boolean[][]} */ (code);
}

/** @param {number} mask */
export function formatBits(mask) {
  const data = (LEVEL_M << 3) | mask;
  let rest = data;
  for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
  return ((data << 10) | rest) ^ 0x5412;
}

/** @param {number} version */
export function versionBits(version) {
  let rest = version;
  for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >> 11) * 0x1f25);
  return (version << 12) | rest;
}

/**
 * Table 11: long runs, blocks, patterns that look like finders, and imbalance of dark and light.
 * @param {boolean[][]} code
 */
function penalty(code) {
  const size = code.length;
  let cost = 0;
  let dark = 0;
  const columns = code.map((_, x) => code.map((row) => row[x]));
  for (const line of [...code, ...columns]) {
    for (let i = 0; i < size; ) {
      let run = 1;
      while (i + run < size && line[i + run] === line[i]) run++;
      if (run >= 5) cost += run - 2;
      i += run;
    }
    const text = "0000" + line.map((module) => (module ? "1" : "0")).join("") + "0000"; // the quiet zone counts as light
    for (const finder of ["10111010000", "00001011101"]) {
      for (let at = text.indexOf(finder); at >= 0; at = text.indexOf(finder, at + 1)) cost += 40;
    }
  }
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (code[y][x]) dark++;
      if (x > 0 && y > 0 && code[y][x] === code[y - 1][x] && code[y][x] === code[y][x - 1] && code[y][x] === code[y - 1][x - 1]) cost += 3;
    }
  }
  return cost + Math.floor(Math.abs((dark / (size * size)) * 20 - 10)) * 10;
}
