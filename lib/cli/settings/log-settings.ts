/** What is logged, and how. As with kube-proxy the flags count although a file is given. */
import { choice, whole } from './kind.ts';
import { type Setting, setting } from './setting.ts';

export const logSettings: readonly Setting[] = [
  setting(
    {
      flag: 'logging-format',
      aliases: ['log-format'],
      argument: '<format>',
      field: 'logging.format',
      standard: 'text',
      help: 'log lines on standard error as text or json',
      group: 'kube-proxy',
      beatsFile: true,
    },
    choice('text', 'json', ''),
    (draft, format) => {
      if (format !== '') draft.logFormat = format;
    },
  ),
  setting(
    {
      flag: 'v',
      aliases: ['verbose'],
      short: 'v',
      argument: '[level]',
      field: 'logging.verbosity',
      standard: '0',
      help: 'log level as klog counts; from 4 on, and without a number: debug lines, and stacks of errors',
      group: 'kube-proxy',
      beatsFile: true,
    },
    whole(0, 1000),
    (draft, level) => {
      draft.verbosity = level;
    },
  ),
];
