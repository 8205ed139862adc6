/** The node on which nothing but the end of a history ever happened. */
import { Machine, type MachineOptions } from './machine.ts';

/** A process that starts beside what others have, hears what the API says in the end, and has nothing in its way. */
export async function idealOf(machine: Machine, options: MachineOptions): Promise<Machine> {
  const ideal = new Machine(options, { cluster: machine.cluster, kernel: machine.others.clone() });
  ideal.start();
  await ideal.pass(2000);
  await ideal.end();
  return ideal;
}

/**
 * The limit of the ledger (docs/architecture.md): a virtual service without destinations whose maker died before he could say that it was
 * his. Of lines of `ipvsadm -Sn`, and any others, those are left out that are about such a one.
 */
export function withoutLeftBehind(found: readonly string[], ideal: readonly string[]): readonly string[] {
  const nameOf = (line: string): string | undefined => /^-[Aa] (\S+ \S+)/.exec(line)?.[1];
  const wanted = new Set(ideal.map(nameOf));
  const served = new Set(found.flatMap((line) => (line.startsWith('-a ') ? nameOf(line) : [])));
  return found.filter((line) => {
    const name = line.startsWith('-A ') ? nameOf(line) : undefined;
    return name === undefined || wanted.has(name) || served.has(name);
  });
}
