/** `ipvs-proxier plan`: what `run` would write. */
import { type Command, InvalidArgumentError as InvalidFlagError } from 'commander';
import { parseDuration } from '../../duration.ts';
import { ExitCode } from '../exit-codes.ts';
import { formatPlan } from '../format-plan.ts';
import { asked, proxierOptions } from '../proxier-options.ts';
import { addSettings } from '../settings/flags.ts';
import type { Terminal } from '../terminal.ts';

interface PlanFlags {
  readonly config?: string;
  readonly fromEmpty?: true;
  readonly json?: true;
  readonly timeout?: number;
  readonly endpoints: boolean;
}

export function addPlanCommand(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  const command = program
    .command('plan')
    .description('show what run would write, in the notation of ipvsadm, ipset, ip and iptables; writes nothing')
    .option('--config <file>', configHelp)
    .option('--from-empty', 'as if the kernel held nothing; needs no privileges')
    .option('--timeout <duration>', 'the longest wait for the first lists (default: 30s)', duration)
    .option('--no-endpoints', 'leave out which frontends there are, and why each endpoint is used or not')
    .option('--json', 'as JSON');
  const given = addSettings(command);
  command.action(async (flags: PlanFlags) => {
    const what = await asked(given, flags.config, terminal);
    const options = await proxierOptions(what, terminal);
    const { Proxier } = await import('../../proxier/proxier.ts');
    const proxier = new Proxier(options);
    const against = flags.fromEmpty === true ? 'empty' : 'kernel';
    const whole = await proxier.plan(against, flags.timeout === undefined ? {} : { timeoutMs: flags.timeout });
    const plan = flags.endpoints ? whole : { ...whole, explanations: [] };
    terminal.out(flags.json === true ? `${JSON.stringify(plan, undefined, 2)}\n` : formatPlan(plan));
    exit(ExitCode.ok);
  });
}

export const configHelp = 'KubeProxyConfiguration; it wins over flags that have a field in it, as with kube-proxy';

/** Of a flag that is no setting. */
export function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidFlagError('Not a duration such as 30s, 500ms, 1m30s or 1h.');
  return ms;
}
