// Compiler and linker flags of libnl for binding.gyp, or a clear stop: node scripts/libnl.mjs cflags | libs | check
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MODULE = 'libnl-3.0';
const VERSION = '3.5';
const PKG_CONFIG = process.env['PKG_CONFIG'] ?? 'pkg-config';

export const LIBNL_HELP = `ipvs-proxier: cannot find the libnl-3 development files (version ${VERSION} or later) through ${PKG_CONFIG}.
Install them, then run the installation again:
  Debian, Ubuntu:  apt-get install build-essential python3 pkg-config libnl-3-dev
  Fedora, RHEL:    dnf install gcc-c++ make python3 pkgconf-pkg-config libnl3-devel
  Alpine:          apk add build-base python3 pkgconf libnl3-dev linux-headers
For another place or a cross build set PKG_CONFIG or PKG_CONFIG_PATH.`;

function pkgConfig(...args) {
  return execFileSync(PKG_CONFIG, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
}

/** True when the addon can be compiled and linked here, as far as libnl goes. */
export function libnlFound() {
  try {
    pkgConfig('--exists', `${MODULE} >= ${VERSION}`);
    return true;
  } catch {
    return false;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!libnlFound()) {
    console.error(LIBNL_HELP);
    process.exit(1);
  }
  const what = process.argv[2];
  // As system headers, so that our warnings stay about our code.
  if (what === 'cflags') console.log(pkgConfig('--cflags', MODULE).replace(/(^|\s)-I/g, '$1-isystem '));
  else if (what === 'libs') console.log(pkgConfig('--libs', MODULE));
  else if (what !== 'check') {
    console.error('usage: node scripts/libnl.mjs cflags | libs | check');
    process.exit(2);
  }
}
