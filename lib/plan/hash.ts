/**
 * Content hashes that nest and do not depend on order: entry → service port → service → family. A parent is the sum of its
 * children modulo 2^52, so a child that comes, goes or changes costs one addition. They skip work and serve the audit; nothing rests
 * on them against an adversary.
 */

const modulus = 2 ** 52;

/** 52 bits of a text, never 0: something with nothing in it is not the same as nothing. */
export function hashText(text: string): number {
  return hashFrom(0x2545f491, 0x9e3779b1, text);
}

/** The hash of a named parent whose children add up to `sum`: two parents that swap children do not add up to the same. */
export function nameHash(name: string, sum: number): number {
  return hashFrom(avalanche((sum % 2 ** 32) | 0), avalanche(~Math.floor(sum / 2 ** 32)), name);
}

/** The hash of a text and a number that belongs to it, up to 2^52. */
export function numberHash(text: string, number: number): number {
  return hashFrom(avalanche((number % 2 ** 32) | 0), avalanche(Math.floor(number / 2 ** 32) + 0x51ed27), text);
}

/** Two multiplicative hashes with unlike steps, each finished so that every input bit reaches every output bit. */
function hashFrom(lowSeed: number, highSeed: number, text: string): number {
  let low = lowSeed;
  let high = highSeed;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul((high << 7) | (high >>> 25), 5) + Math.imul(unit, 0x27d4eb2f);
  }
  const sum = (avalanche(high) & 0xfffff) * 2 ** 32 + avalanche(low ^ high);
  return sum === 0 ? 1 : sum;
}

function avalanche(value: number): number {
  let mixed = value;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

export function addHash(sum: number, child: number): number {
  return (sum + child) % modulus;
}

export function subtractHash(sum: number, child: number): number {
  return (sum - child + modulus) % modulus;
}
