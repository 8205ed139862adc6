// npm's install hook: builds the addon where it can run, and says one line where it cannot.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LIBNL_HELP, libnlFound } from './libnl.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function fail(text) {
  console.error(text);
  process.exit(1);
}

if (process.platform !== 'linux') {
  console.log(
    `ipvs-proxier: the native addon is for Linux and was not built on ${process.platform}; model, plan and the fake kernel work.`,
  );
  process.exit(0);
}
if (!libnlFound()) fail(LIBNL_HELP);

const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
// The headers that came with this node save a download, and an offline machine; a setting of the user's own goes first.
const prefix = dirname(dirname(process.execPath));
const ownHeaders =
  existsSync(join(prefix, 'include', 'node', 'node_api.h')) && process.env['npm_config_nodedir'] === undefined;
const nodedir = ownHeaders ? [`--nodedir=${prefix}`] : [];
const build = spawnSync(process.execPath, [nodeGyp, 'rebuild', '--loglevel=error', ...nodedir], {
  cwd: root,
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'pipe'],
  maxBuffer: 64 * 1024 * 1024,
});
if (build.error !== undefined) fail(`ipvs-proxier: node-gyp did not start: ${build.error.message}`);
if (build.status !== 0) {
  fail(`${build.stdout}${build.stderr}\nipvs-proxier: building the native addon failed (node-gyp rebuild, above).`);
}
