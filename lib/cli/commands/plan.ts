/** `ipvs-proxier plan`: what `run` would write. */
import type { Command } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { formatPlan } from '../format-plan.ts';
import { createLogger } from '../logger.ts';
import { addProxierFlags, duration, type ProxierFlags, proxierOptions } from '../proxier-flags.ts';
import type { Terminal } from '../terminal.ts';

interface PlanFlags extends ProxierFlags {
  readonly fromEmpty?: true;
  readonly json?: true;
  readonly timeout?: number;
  readonly endpoints: boolean;
}

export function addPlanCommand(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  addProxierFlags(program.command('plan'))
    .description('show what run would write, in the notation of ipvsadm, ipset, ip and iptables; writes nothing')
    .option('--from-empty', 'as if the kernel held nothing; needs no privileges')
    .option('--timeout <duration>', 'the longest wait for the first lists (default: 30s)', duration)
    .option('--no-endpoints', 'leave out which frontends there are, and why each endpoint is used or not')
    .option('--json', 'as JSON')
    .action(async (flags: PlanFlags) => {
      const { Proxier } = await import('../../proxier/proxier.ts');
      const logger = createLogger(terminal, { format: flags.logFormat, verbose: flags.verbose === true });
      const proxier = new Proxier({ ...(await proxierOptions(flags, terminal)), logger });
      const against = flags.fromEmpty === true ? 'empty' : 'kernel';
      const whole = await proxier.plan(against, flags.timeout === undefined ? {} : { timeoutMs: flags.timeout });
      const plan = flags.endpoints ? whole : { ...whole, explanations: [] };
      terminal.out(flags.json === true ? `${JSON.stringify(plan, undefined, 2)}\n` : formatPlan(plan));
      exit(ExitCode.ok);
    });
}
