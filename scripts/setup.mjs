/**
 * Makes a fresh clone ready: system packages, npm packages, addon, TypeScript, test tools. Does only what is missing, says what it does,
 * and takes a fraction of a second when nothing is. Plain JavaScript without dependencies, for it runs before anything is installed.
 */
import { pathToFileURL } from 'node:url';
import { ensureAddon, ensureNetpeer, ensureTypeScript } from './setup/builds.mjs';
import { ensureNpmPackages } from './setup/npm-packages.mjs';
import { SetupError } from './setup/run.mjs';
import { ensureSystemPackages } from './setup/system-packages.mjs';

const oldestNode = [20, 19];

export async function setup() {
  checkNode();
  await ensureSystemPackages();
  await ensureNpmPackages();
  await ensureAddon();
  await ensureTypeScript();
  await ensureNetpeer();
}

/** Runs the set-up for a command; a failure is told and ends the process with status 1. */
export async function setupOrExit() {
  try {
    await setup();
  } catch (error) {
    process.stderr.write(`\nsetup: ${error instanceof SetupError ? error.message : error.stack}\n`);
    process.exit(1);
  }
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) return;
  throw new SetupError(
    `Node ${oldestNode.join('.')} or newer is needed, this is ${process.versions.node} (${process.execPath})`,
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await setupOrExit();
