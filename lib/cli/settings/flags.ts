/** The settings as flags, by pflag's rules: `--flag=value` and `--flag value`, `--flag` and `--flag=false`, `_` for `-`. */
import { type Command, InvalidArgumentError as InvalidFlagError, Option } from 'commander';
import { allSettings } from './all-settings.ts';
import type { Setting, SettingGroup, Take } from './setting.ts';

const headings: Readonly<Record<SettingGroup, string>> = {
  source: 'Where the Services come from:',
  command: 'What to do:',
  'kube-proxy':
    "kube-proxy's flags (*: the default with --config, or when another such flag is given; otherwise left as it is):",
  own: 'Flags of ipvs-proxier:',
  'no effect': "kube-proxy's flags without effect here (accepted, and named on standard error):",
};

/** A flag without a value, of a setting that takes one. */
const ALONE: Readonly<Record<string, string>> = { v: '4' };

export interface GivenFlag {
  /** As it was written: `--node-name`. */
  readonly name: string;
  readonly takes: readonly Take[];
}

/** What a command line says; filled while commander parses. */
export type GivenFlags = ReadonlyMap<Setting, GivenFlag>;

export function addSettings(command: Command): GivenFlags {
  // What stands for a flag without a value is said in its description, where it matters.
  command.configureHelp({ optionDescription: ({ description }) => description });
  const given = new Map<Setting, GivenFlag>();
  for (const setting of allSettings) {
    if (setting.flag === undefined) continue;
    command.addOption(optionOf(setting, setting.flag, given));
    for (const alias of setting.aliases ?? []) command.addOption(optionOf(setting, alias, given).hideHelp());
  }
  return given;
}

function optionOf(setting: Setting, flag: string, given: Map<Setting, GivenFlag>): Option {
  const { short, argument = '[bool]' } = setting;
  const name = `--${flag}`;
  const option = new Option(
    `${short === undefined || short !== flag ? '' : `-${short}, `}${name} ${argument}`,
    helpOf(setting),
  );
  if (argument.startsWith('[')) option.preset(ALONE[setting.flag ?? ''] ?? 'true');
  option.argParser((value: string) => {
    const take = setting.fromFlag(value);
    if (take === undefined) throw new InvalidFlagError(`Not ${setting.allowed}.`);
    const before = given.get(setting);
    if (before !== undefined && before.name !== name) {
      throw new InvalidFlagError(`${before.name} and ${name} are the same: give one of them.`);
    }
    const earlier = setting.repeats === true ? (before?.takes ?? []) : [];
    given.set(setting, { name, takes: [...earlier, take] });
    return value;
  });
  return option.helpGroup(headings[setting.group]);
}

function helpOf({ help, standard, aliases = [] }: Setting): string {
  const also = aliases.length === 0 ? '' : `; also ${aliases.map((alias) => `--${alias}`).join(', ')}`;
  return `${help}${standard === undefined ? '' : ` (default: ${standard})`}${also}`;
}

/** Spellings that pflag and klog take, as commander takes them. */
export function normalized(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, index) => {
    if (end >= 0 && index > end) return arg;
    if (arg === '--no-sysctls') return '--sysctls=false';
    if (/^-v=/.test(arg)) return `-${arg}`;
    const [, name = '', rest = ''] = /^--([^=]+)(.*)$/s.exec(arg) ?? [];
    return name === '' ? arg : `--${name.replaceAll('_', '-')}${rest}`;
  });
}

/** The log level that a command line asks for, before anything else of it is understood. */
export function verbosityOf(args: readonly string[]): number {
  let level = 0;
  normalized(args).forEach((arg, index, all) => {
    const attached = /^(?:-v|--v=|--verbose=)(\d+)$/.exec(arg)?.[1];
    const next = all[index + 1] ?? '';
    if (attached !== undefined) level = Number(attached);
    else if (arg === '-v' || arg === '--v' || arg === '--verbose') level = /^\d+$/.test(next) ? Number(next) : 4;
  });
  return level;
}
