/** The tables of docs/configuration.md, made from the settings: `node dist/test/harness/settings-table.js` prints them. */
import { pathToFileURL } from 'node:url';
import { allSettings } from '../../lib/cli/settings/all-settings.ts';
import type { Setting } from '../../lib/cli/settings/setting.ts';

export function settingsTable(): readonly string[] {
  const served = allSettings.filter(({ group }) => group !== 'no effect');
  const others = allSettings.filter(({ group }) => group === 'no effect');
  return [
    '| flag | field of KubeProxyConfiguration | option of `Proxier` | default | what it does |',
    '|---|---|---|---|---|',
    ...served.map((setting) =>
      row([flags(setting), code(setting.field), code(setting.option), setting.standard, setting.help]),
    ),
    '',
    '| flag | field of KubeProxyConfiguration | why nothing comes of it |',
    '|---|---|---|',
    ...others.map((setting) => row([flags(setting), code(setting.field), setting.help])),
  ];
}

function flags({ flag, aliases = [], argument = '' }: Setting): string | undefined {
  if (flag === undefined) return undefined;
  const also = aliases.map((alias) => `, \`--${alias}\``).join('');
  return `\`--${flag}${argument === '' || argument.startsWith('[') ? '' : ` ${argument}`}\`${also}`;
}

function code(name: string | undefined): string | undefined {
  return name === undefined ? undefined : `\`${name}\``;
}

function row(cells: readonly (string | undefined)[]): string {
  return `| ${cells.map((cell = '–') => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  process.stdout.write(`${settingsTable().join('\n')}\n`);
