/**
 * Names of the sets that only live while another is replaced: `~tmp.PID.START.RANDOM.NUMBER`, in base 36. They say whose they are, so that
 * what a crash leaves behind is known as such, and two writers, be it threads of one process, never fill the same one.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';

const PREFIX = '~tmp.';
/** Of the random part and of the number: with pid (at most 5 digits) and start time (7) the name stays within 31. */
const WRAP = 36 ** 4;
let own: string | undefined;
let number = 0;

/** A name that no set has, at most 31 bytes. */
export function temporarySetName(): string {
  own ??= `${process.pid.toString(36)}.${startTime(process.pid) ?? '0'}.${randomInt(WRAP).toString(36)}`;
  number = (number + 1) % WRAP;
  return `${PREFIX}${own}.${number.toString(36)}`;
}

/**
 * Whether the set is a temporary one whose process is gone. One of another container, whose process is not seen from here, counts as that: if
 * it is still being filled, its writer is told that it is gone, and has replaced nothing.
 */
export function isAbandonedSet(name: string): boolean {
  if (!name.startsWith(PREFIX)) return false;
  const [pidText = '', start = ''] = name.slice(PREFIX.length).split('.');
  const pid = Number.parseInt(pidText, 36);
  return !Number.isInteger(pid) || (startTime(pid) ?? '') !== start;
}

/** When the process began, in ticks since boot (field 22 of proc_pid_stat(5)); undefined when there is none of that number. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return Number(ticks).toString(36);
  } catch {
    return undefined;
  }
}
