/** What was built from what: a stamp in .cache/ holds the hash of a step's inputs, so that an unchanged step is skipped. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root } from './run.mjs';

export const cache = join(root, '.cache');

/** Files under a path of the repository, or the file itself; none when there is nothing. */
export function filesUnder(path) {
  const full = join(root, path);
  if (!existsSync(full)) return [];
  if (statSync(full).isFile()) return [full];
  return readdirSync(full, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** Hash of files' names and contents, and of further values. */
export function hashOf(files, ...values) {
  const hash = createHash('sha256').update(JSON.stringify(values));
  for (const file of files) hash.update(`\0${relative(root, file)}\0`).update(readFileSync(file));
  return hash.digest('hex');
}

/** Runs `make` unless the product is there and its stamp says that it was made with this hash; stamps only what succeeded. */
export async function unlessMade({ name, product, hash }, make) {
  const stamp = join(cache, `${name}.stamp`);
  if (existsSync(product) && existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  mkdirSync(cache, { recursive: true });
  rmSync(stamp, { force: true });
  await make();
  writeFileSync(stamp, hash);
}
