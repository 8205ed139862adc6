/** System packages: finds out what is missing and installs it on Debian and Ubuntu; elsewhere says what is needed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { outputOf, printedBy, runStep, SetupError, say } from './run.mjs';

/** Debian package → a program or file that proves it, for other distributions. */
const packages = {
  'g++': 'g++',
  make: 'make',
  python3: 'python3',
  'pkg-config': 'pkg-config',
  'libnl-3-dev': 'libnl-3.0.pc',
  'libnl-genl-3-dev': 'libnl-genl-3.0.pc',
  clang: 'clang',
  kmod: 'modprobe',
  ipvsadm: 'ipvsadm',
  ipset: 'ipset',
  iptables: 'iptables',
  iproute2: 'ip',
  conntrack: 'conntrack',
  'iputils-ping': 'ping',
  openssl: 'openssl',
  'user-mode-linux': 'linux.uml',
};

/** pkg-config is a name that pkgconf took over in newer releases. */
const replacedBy = { 'pkg-config': 'pkgconf' };

/** Throws SetupError, before anything is changed, when it cannot be done here. */
export async function ensureSystemPackages() {
  if (process.platform !== 'linux') {
    throw new SetupError(
      'the tests and the demo need Linux (the library builds elsewhere, but there is no kernel to drive)',
    );
  }
  const release = readOsRelease();
  if (!isDebianLike(release)) {
    requireTools(release);
    return;
  }
  const missing = missingPackages();
  if (missing.length > 0) await install(missing);
}

/** A package that one command alone needs, by a program of it. Throws SetupError. */
export async function ensurePackageFor(what, name, program) {
  if (isThere(program)) return;
  const release = readOsRelease();
  if (!isDebianLike(release)) throw new SetupError(`${what} needs ${program}, which this system does not have`);
  await install([name]);
}

function readOsRelease() {
  const path = ['/etc/os-release', '/usr/lib/os-release'].find((name) => existsSync(name));
  const lines = path === undefined ? [] : readFileSync(path, 'utf8').split('\n');
  const fields = lines.map((line) => /^([A-Z_]+)="?([^"]*)"?$/.exec(line)).filter((match) => match !== null);
  return Object.fromEntries(fields.map(([, key, value]) => [key, value]));
}

function isDebianLike(release) {
  return [release.ID, ...(release.ID_LIKE ?? '').split(' ')].some((id) => id === 'debian' || id === 'ubuntu');
}

function requireTools(release) {
  const absent = Object.entries(packages).filter(([, proof]) => !isThere(proof));
  if (absent.every(([name]) => name === 'user-mode-linux') && (absent.length === 0 || hostHasIpvs())) return;
  const list = absent.map(([name, proof]) => `  ${proof.padEnd(16)} in Debian's package ${name}`).join('\n');
  throw new SetupError(
    `${release.PRETTY_NAME ?? 'this system'} is neither Debian nor Ubuntu, so nothing was installed. Please install what these programs and files belong to, and start again:\n${list}\nUser Mode Linux (linux.uml) is not needed where the host's kernel has ip_vs.`,
  );
}

function isThere(proof) {
  if (proof.endsWith('.pc')) return outputOf('pkg-config', ['--exists', proof.slice(0, -'.pc'.length)]) !== undefined;
  const path = `${process.env.PATH ?? ''}${delimiter}/usr/local/sbin${delimiter}/usr/sbin${delimiter}/sbin`;
  return path.split(delimiter).some((directory) => existsSync(join(directory, proof)));
}

function hostHasIpvs() {
  return existsSync('/proc/net/ip_vs') || outputOf('/sbin/modprobe', ['--dry-run', '--quiet', 'ip_vs']) !== undefined;
}

function missingPackages() {
  const names = Object.keys(packages);
  const installed = installedPackages([...names, ...Object.values(replacedBy)]);
  const missing = names.filter((name) => !installed.has(name) && !installed.has(replacedBy[name]));
  if (!missing.includes('clang') && !hasSanitizers()) missing.push(sanitizers);
  // A host with ip_vs can do without User Mode Linux where the distribution has none.
  const onlyKernel = missing.length === 1 && missing[0] === 'user-mode-linux';
  return onlyKernel && hostHasIpvs() && !isInstallable('user-mode-linux') ? [] : missing;
}

function installedPackages(names) {
  // Fails when one of the names is unknown, and prints the others all the same.
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholders are dpkg-query's
  const format = '${db:Status-Abbrev}\t${Package}\n';
  const lines = printedBy('dpkg-query', ['-W', '-f', format, ...names]).split('\n');
  const fields = lines.map((line) => line.split('\t')).filter(([status]) => status?.startsWith('ii'));
  return new Set(fields.map(([, name]) => name));
}

/** Stands for the package with the sanitizers' run-time library, whose name has clang's version in it. */
const sanitizers = "clang's sanitizers";

function hasSanitizers() {
  const directory = outputOf('clang', ['-print-resource-dir'])?.trim();
  if (directory === undefined || !existsSync(join(directory, 'lib'))) return false;
  return readdirSync(join(directory, 'lib'), { recursive: true }).some((name) => /libclang_rt\.asan.*\.a$/.test(name));
}

/** `clang` depends on `clang-14`, or so; its sanitizers are in libclang-rt-14-dev, in older releases in what clang-14 depends on. */
function sanitizerPackages() {
  const version = /^Depends:.*\bclang-(\d+)\b/m.exec(
    printedBy('apt-cache', ['show', '--no-all-versions', 'clang']),
  )?.[1];
  return version === undefined ? [] : [`libclang-rt-${version}-dev`].filter(isInstallable);
}

async function install(missing) {
  say(`setup: system packages are missing: ${missing.join(', ')}`);
  const become = becomeRoot(missing);
  const apt = (...args) => [...become, 'apt-get', '-o', 'DPkg::Lock::Timeout=300', ...args];
  const run = (title, [program, ...args]) => runStep(title, program, args, { DEBIAN_FRONTEND: 'noninteractive' });
  await run('apt-get update', apt('update'));
  const wanted = missing.filter((name) => name !== sanitizers);
  if (wanted.includes('clang') || missing.includes(sanitizers)) wanted.push(...sanitizerPackages());
  if (wanted.includes('user-mode-linux') && !isInstallable('user-mode-linux')) {
    if (!hostHasIpvs())
      throw new SetupError(
        'this release has no package user-mode-linux and the running kernel has no ip_vs: there is no kernel for the tests and the demo. Ubuntu has it in "universe" (add-apt-repository universe), on amd64 only.',
      );
    wanted.splice(wanted.indexOf('user-mode-linux'), 1);
  }
  if (wanted.length > 0)
    await run(`apt-get install ${wanted.join(' ')}`, apt('install', '--yes', '--no-install-recommends', ...wanted));
}

function becomeRoot(missing) {
  if (process.getuid?.() === 0) return [];
  if (isThere('sudo')) return ['sudo', '--preserve-env=DEBIAN_FRONTEND'];
  const names = missing.filter((name) => name !== sanitizers).join(' ');
  throw new SetupError(`installing packages needs root, and there is no sudo here. As root: apt-get install ${names}`);
}

function isInstallable(name) {
  return /^ {2}Candidate: (?!\(none\))/m.test(printedBy('apt-cache', ['policy', name]));
}
