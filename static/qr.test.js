// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCorrection, formatBits, qrCode, qrPath, versionBits } from "./qr.js";

// "http://localhost:8080/r/test", version 3-M, mask 0, by skip2/go-qrcode (which chooses its mask by another reading of the
// penalty rules; any mask is valid).
const VECTOR_MASK = 0;
const VECTOR = [
  "#######..##.##..#..#..#######",
  "#.....#.##..#.###..##.#.....#",
  "#.###.#..#...##.#.##..#.###.#",
  "#.###.#..#######......#.###.#",
  "#.###.#.##..#.#..####.#.###.#",
  "#.....#..##..#....##..#.....#",
  "#######.#.#.#.#.#.#.#.#######",
  ".............##.####.........",
  "#.#.#.#..#....##.#......#..#.",
  "#.#.##...#....##.##..##..#..#",
  ".....#####..##......#...#.###",
  ".#.###...##....#.#.#.#..##.#.",
  "##.##.##.####...##.#.##..#.##",
  ".#.....###...#.###...##..##.#",
  "#.##..#.###.#.###...##.##..##",
  ".##.##.#.#..###.####..##.#.#.",
  "####.##..####.##.#...##....##",
  "....#...##..#.##.##...#...#.#",
  "#..#.##....###...##.#.##.#.##",
  ".#.###..###....#.###..##.#.#.",
  "#...#.###...#...##.######....",
  "........###..#.####.#...#.###",
  "#######.......###..##.#.##.##",
  "#.....#....#.##.##.##...#..#.",
  "#.###.#.#.#.#.##..#.#####..#.",
  "#.###.#..#######...##..##.#..",
  "#.###.#.#..#.....#...#.##.#.#",
  "#.....#....##.##....#...#..#.",
  "#######.##.##...#...#.##...##",
];

test("Reed-Solomon: HELLO WORLD in 1-M, worked by hand in many tutorials on ISO/IEC 18004", () => {
  const data = [32, 91, 11, 120, 209, 114, 220, 77, 67, 64, 236, 17, 236, 17, 236, 17];
  assert.deepEqual(errorCorrection(data, 10), [196, 35, 39, 119, 235, 215, 231, 226, 93, 23]);
});

test("format and version information: ISO/IEC 18004 tables C.1 and D.1", () => {
  const formats = [0x5412, 0x5125, 0x5e7c, 0x5b4b, 0x45f9, 0x40ce, 0x4f97, 0x4aa0];
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7].map(formatBits), formats);
  assert.deepEqual([7, 8, 20].map(versionBits), [0x07c94, 0x085bc, 0x149a6]);
});

test("the whole symbol, against one made by another encoder", () => {
  const rows = qrCode("http://localhost:8080/r/test", VECTOR_MASK).map((row) => row.map((module) => (module ? "#" : ".")).join(""));
  assert.deepEqual(rows, VECTOR);
});

// A reader of its own: walks the symbol as a scanner does and shares no code with the encoder but the words of the standard.
/** @param {boolean[][]} code */
function readQR(code) {
  const size = code.length;
  const version = (size - 17) / 4;
  let format = 0;
  const spots = [[8, 0], [8, 1], [8, 2], [8, 3], [8, 4], [8, 5], [8, 7], [8, 8], [7, 8], [5, 8], [4, 8], [3, 8], [2, 8], [1, 8], [0, 8]];
  spots.forEach(([x, y], i) => { format |= Number(code[y][x]) << i; });
  let second = 0;
  for (let i = 0; i < 8; i++) second |= Number(code[8][size - 1 - i]) << i;
  for (let i = 8; i < 15; i++) second |= Number(code[size - 15 + i][8]) << i;
  assert.equal(format, second, "both copies of the format");
  const mask = ((format ^ 0x5412) >> 10) & 7;
  assert.equal((format ^ 0x5412) >> 13, 0, "level M");

  const centres = /** @type {Record<number, number[]>} */ ({ 1: [], 2: [6, 18], 3: [6, 22], 4: [6, 26], 5: [6, 30], 6: [6, 34], 7: [6, 22, 38], 8: [6, 24, 42], 9: [6, 26, 46], 10: [6, 28, 50], 11: [6, 30, 54], 12: [6, 32, 58], 13: [6, 34, 62], 14: [6, 26, 46, 66], 15: [6, 26, 48, 70], 16: [6, 26, 50, 74], 17: [6, 30, 54, 78], 18: [6, 30, 56, 82], 19: [6, 30, 58, 86], 20: [6, 34, 62, 90] })[version];
  const isFunction = (/** @type {number} */ x, /** @type {number} */ y) => {
    if (x === 6 || y === 6) return true;
    if ((x < 9 && y < 9) || (x < 9 && y >= size - 8) || (x >= size - 8 && y < 9)) return true;
    if (version >= 7 && ((x < 6 && y >= size - 11) || (y < 6 && x >= size - 11))) return true;
    const last = size - 7;
    return centres.some((cx) => centres.some((cy) => {
      if ((cx === 6 && cy === 6) || (cx === 6 && cy === last) || (cx === last && cy === 6)) return false;
      return Math.abs(x - cx) <= 2 && Math.abs(y - cy) <= 2;
    }));
  };
  const masked = (/** @type {number} */ i, /** @type {number} */ j) => [
    (i + j) % 2, i % 2, j % 3, (i + j) % 3, (Math.floor(i / 2) + Math.floor(j / 3)) % 2, ((i * j) % 2) + ((i * j) % 3), (((i * j) % 2) + ((i * j) % 3)) % 2, (((i + j) % 2) + ((i * j) % 3)) % 2,
  ][mask] === 0;
  const bits = [];
  let up = true;
  for (let x = size - 1; x > 0; x -= 2) {
    if (x === 6) x--;
    for (let k = 0; k < size; k++) {
      const y = up ? size - 1 - k : k;
      for (const c of [x, x - 1]) if (!isFunction(c, y)) bits.push(Number(code[y][c] !== masked(y, c)));
    }
    up = !up;
  }
  /** @type {number[]} */ const words = [];
  for (let i = 0; i + 8 <= bits.length; i += 8) words.push(parseInt(bits.slice(i, i + 8).join(""), 2));

  // [blocks, data codewords] of the two groups, and error correction codewords per block, level M (table 9)
  const plan = /** @type {Record<number, number[]>} */ ({ 1: [10, 1, 16], 2: [16, 1, 28], 3: [26, 1, 44], 4: [18, 2, 32], 5: [24, 2, 43], 6: [16, 4, 27], 7: [18, 4, 31], 8: [22, 2, 38, 2, 39], 9: [22, 3, 36, 2, 37], 10: [26, 4, 43, 1, 44], 11: [30, 1, 50, 4, 51], 12: [22, 6, 36, 2, 37], 13: [22, 8, 37, 1, 38], 14: [24, 4, 40, 5, 41], 15: [24, 5, 41, 5, 42], 16: [28, 7, 45, 3, 46], 17: [28, 10, 46, 1, 47], 18: [26, 9, 43, 4, 44], 19: [26, 3, 44, 11, 45], 20: [26, 3, 41, 13, 42] })[version];
  const [ec, n1, d1, n2 = 0, d2 = 0] = plan;
  const lengths = [...Array(n1).fill(d1), ...Array(n2).fill(d2)];
  assert.equal(words.length, lengths.reduce((a, b) => a + b + ec, 0), `codewords of version ${version}`);
  /** @type {number[][]} */ const blocks = lengths.map(() => []);
  let at = 0;
  for (let i = 0; i < Math.max(d1, d2); i++) lengths.forEach((length, b) => { if (i < length) blocks[b].push(words[at++]); });
  for (let i = 0; i < ec; i++) for (const block of blocks) block.push(words[at++]);

  // every syndrome is zero: the block is a codeword
  const exp = [1];
  for (let i = 1; i < 255; i++) exp.push((exp[i - 1] << 1) ^ (exp[i - 1] & 128 ? 0x11d : 0));
  const log = Object.fromEntries(exp.map((value, i) => [value, i]));
  for (const block of blocks) {
    for (let root = 0; root < ec; root++) {
      let value = 0;
      for (const word of block) value = (value ? exp[(log[value] + root) % 255] : 0) ^ word;
      assert.equal(value, 0, `syndrome ${root}`);
    }
  }
  const data = blocks.flatMap((block, i) => block.slice(0, lengths[i])).flatMap((word) => [...word.toString(2).padStart(8, "0")].map(Number));
  const take = (/** @type {number} */ count) => parseInt(data.splice(0, count).join(""), 2);
  assert.equal(take(4), 0b0100, "byte mode");
  const length = take(version < 10 ? 8 : 16);
  return { version, mask, text: new TextDecoder().decode(Uint8Array.from({ length }, () => take(8))) };
}

test("what it draws can be read, in every version and mask", () => {
  const versions = new Set();
  for (let length = 1; length <= 660; length += 11) {
    const text = ("https://parley.example:8443/r/ä" + "x0-".repeat(220)).slice(0, length);
    const { version, text: got } = readQR(qrCode(text));
    assert.equal(got, text);
    versions.add(version);
  }
  assert.deepEqual([...versions].sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i + 1));
  for (let mask = 0; mask < 8; mask++) assert.deepEqual(readQR(qrCode("http://127.0.0.1:8080/r/a", mask)).mask, mask);
});

test("too long is an error, the path covers the dark modules", () => {
  assert.throws(() => qrCode("x".repeat(700)), RangeError);
  const code = qrCode("abc");
  const { size, path } = qrPath("abc");
  assert.equal(size, code.length);
  const area = [...path.matchAll(/h(\d+)v1/g)].reduce((sum, match) => sum + Number(match[1]), 0);
  assert.equal(area, code.flat().filter(Boolean).length);
});
