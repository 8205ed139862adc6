/**
 * User Mode Linux of another Debian suite than this machine's, made to run here: the package and that suite's libc6 are downloaded by
 * apt with directories of its own (nothing of the system changes) from the mirror the machine already uses, unpacked, and the
 * executable is pointed at the C library beside it.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { outputOf, runStep, SetupError } from '../setup/run.mjs';
import { cache } from '../setup/stamps.mjs';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Boots and modules of a suite's kernel: `{ binary, modulesDirectory, release }`. Throws SetupError, saying what could not be had. */
export async function fetchKernel(suite) {
  const directory = join(cache, 'kernels', suite);
  const unpacked = join(directory, 'root');
  // Written last, so that what an interrupt left is not taken for a kernel.
  const done = join(directory, 'done');
  if (!existsSync(done)) {
    rmSync(directory, { recursive: true, force: true });
    const packages = await download(suite, directory);
    mkdirSync(unpacked);
    for (const file of packages) await runStep(`unpacking ${file}`, 'dpkg', ['-x', join(directory, file), unpacked]);
    await useOwnLibrary(unpacked);
    writeFileSync(done, `${packages.join('\n')}\n`);
  }
  const modulesDirectory = join(unpacked, 'usr/lib/uml/modules');
  return {
    binary: join(unpacked, 'usr/bin/linux.uml'),
    modulesDirectory,
    release: readdirSync(modulesDirectory)[0],
    packages: readFileSync(done, 'utf8').trim().split('\n'),
  };
}

async function download(suite, directory) {
  for (const name of ['lists/partial', 'archives/partial']) mkdirSync(join(directory, name), { recursive: true });
  writeFileSync(join(directory, 'status'), '');
  const signed = existsSync(keyring) ? `Signed-By: ${keyring}\n` : '';
  writeFileSync(
    join(directory, 'suite.sources'),
    `Types: deb\nURIs: ${debianMirror()}\nSuites: ${suite}\nComponents: main\n${signed}`,
  );
  const settings = {
    'Dir::Etc::SourceList': join(directory, 'suite.sources'),
    'Dir::Etc::SourceParts': '/dev/null',
    // What the system pins to its own release does not concern this download.
    'Dir::Etc::Preferences': '/dev/null',
    'Dir::Etc::PreferencesParts': '/dev/null',
    'Dir::State::Lists': join(directory, 'lists'),
    'Dir::State::Status': join(directory, 'status'),
    'Dir::Cache': directory,
    'Dir::Cache::Archives': join(directory, 'archives'),
    // The checkout need not be readable for apt's own user.
    'APT::Sandbox::User': 'root',
    'APT::Update::Error-Mode': 'any',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  await runStep(`package lists of ${suite}`, 'apt-get', [...options, 'update']);
  await runStep(
    `User Mode Linux of ${suite}`,
    'apt-get',
    [...options, 'download', 'user-mode-linux', 'libc6'],
    {},
    directory,
  );
  const packages = readdirSync(directory).filter((name) => name.endsWith('.deb'));
  if (packages.length !== 2) throw new SetupError(`apt-get download in ${directory} left ${packages.join(', ')}`);
  return packages;
}

/** Where this machine gets Debian from. Ubuntu has User Mode Linux too, but the suites asked for are Debian's. */
function debianMirror() {
  const format = '$(LABEL) $(REPO_URI)';
  const listed = outputOf('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']) ?? '';
  const mirror = /^Debian (\S+)$/m.exec(listed)?.[1];
  if (mirror !== undefined) return mirror;
  throw new SetupError('apt knows no Debian mirror here (is this Debian, and has apt-get update been run?)');
}

async function useOwnLibrary(unpacked) {
  const libraries = readdirSync(unpacked, { recursive: true, withFileTypes: true });
  const libc = libraries.find((entry) => entry.name === 'libc.so.6');
  const loader = libraries.find((entry) => /^ld-linux.*\.so\.\d$/.test(entry.name) && entry.isFile());
  if (libc === undefined || loader === undefined) throw new SetupError(`${unpacked} has no C library`);
  await runStep('pointing linux.uml at its own C library', 'patchelf', [
    ...['--set-interpreter', join(loader.parentPath ?? loader.path, loader.name)],
    ...['--set-rpath', libc.parentPath ?? libc.path],
    join(unpacked, 'usr/bin/linux.uml'),
  ]);
}
