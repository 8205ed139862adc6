/** npm packages: `npm ci` when node_modules is not what package-lock.json says. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, runStep, SetupError } from './run.mjs';

export async function ensureNpmPackages() {
  if (isInstalled()) return;
  // Without scripts: the only one of importance is our own, which builds the addon, and that is the next step of the set-up.
  await runStep('npm ci', process.platform === 'win32' ? 'npm.cmd' : 'npm', [
    'ci',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
  ]);
  if (!isInstalled()) throw new SetupError('npm ci succeeded, but node_modules is not what package-lock.json says');
}

/** npm leaves in node_modules what it installed. Optional packages are those of other platforms, for the most part. */
function isInstalled() {
  const installed = packagesOf('node_modules/.package-lock.json');
  const wanted = packagesOf('package-lock.json');
  if (installed === undefined || wanted === undefined) return false;
  return Object.entries(wanted)
    .filter(([path]) => path !== '')
    .every(([path, { version, optional }]) => {
      const found = installed[path];
      return found === undefined ? optional === true : found.version === version;
    });
}

function packagesOf(path) {
  const file = join(root, path);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : undefined;
}
