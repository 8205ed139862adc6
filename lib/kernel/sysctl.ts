/**
 * Kernel settings under /proc/sys. Read and written on the calling thread, not on libuv's pool: /proc/sys/net shows the network
 * namespace of the thread that opens it, and pool threads are in the process's own.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { InvalidArgumentError, ProxierError } from '../errors.ts';
import { quote } from './check.ts';

export interface Sysctls {
  /** The value as text without the newline; undefined when this kernel (or namespace) has no such key. */
  read(key: string): string | undefined;
  /** Throws ERR_SYSCTL naming the key, the value and what to do. */
  write(key: string, value: string): void;
}

/** Keys are written as in behaviour.md 5.2: `net/ipv4/vs/conntrack`. Another form is an InvalidArgumentError. */
export class ProcSysctls implements Sysctls {
  read(key: string): string | undefined {
    const file = path(key);
    try {
      return readFileSync(file, 'utf8').trim();
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw new ProxierError('ERR_SYSCTL', `cannot read sysctl ${key.replaceAll('/', '.')}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  write(key: string, value: string): void {
    const file = path(key);
    try {
      writeFileSync(file, value);
    } catch (error) {
      const name = key.replaceAll('/', '.');
      throw new ProxierError(
        'ERR_SYSCTL',
        `cannot set sysctl ${name} = ${value}: ${messageOf(error)}; set it on the host (sysctl -w ${name}=${value}) or mount /proc/sys writable`,
        { cause: error },
      );
    }
  }
}

function path(key: string): string {
  if (!/^[a-z0-9_/-]+$/i.test(key))
    throw new InvalidArgumentError('key', `${quote(key)} is not a sysctl: write it as net/ipv4/vs/conntrack`);
  return `/proc/sys/${key}`;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
