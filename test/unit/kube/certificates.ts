/** A certificate authority, a server certificate for 127.0.0.1 and a client certificate, made by openssl in a temporary directory. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Certificates {
  readonly directory: string;
  readonly ca: string;
  readonly serverKey: string;
  readonly serverCert: string;
  readonly clientKey: string;
  readonly clientCert: string;
  remove(): Promise<void>;
}

const run = promisify(execFile);

export async function makeCertificates(): Promise<Certificates> {
  const directory = await mkdtemp(join(tmpdir(), 'ipvs-proxier-ca-'));
  const openssl = async (...args: string[]): Promise<void> => {
    await run('openssl', args, { cwd: directory, timeout: 60_000 });
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=test-ca', '-days', '2');
  await writeFile(join(directory, 'server.ext'), 'subjectAltName=IP:127.0.0.1\n');
  await writeFile(join(directory, 'client.ext'), 'extendedKeyUsage=clientAuth\n');
  for (const [name, subject] of [
    ['server', '/CN=fake-api-server'],
    ['client', '/O=system:nodes/CN=system:node:n1'],
  ] as const) {
    await openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject);
    const signing = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
    await openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, '-extfile', `${name}.ext`, ...signing);
  }
  const read = (name: string): Promise<string> => readFile(join(directory, name), 'utf8');
  return {
    directory,
    ca: await read('ca.crt'),
    serverKey: await read('server.key'),
    serverCert: await read('server.crt'),
    clientKey: await read('client.key'),
    clientCert: await read('client.crt'),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
