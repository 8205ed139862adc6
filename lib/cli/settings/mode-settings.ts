/** kube-proxy's settings that only one value is right for here. */
import { InvalidArgumentError as InvalidFlagError } from 'commander';
import { text } from './kind.ts';
import { type Setting, setting } from './setting.ts';

export const modeSettings: readonly Setting[] = [
  setting(
    {
      flag: 'proxy-mode',
      argument: '<mode>',
      field: 'mode',
      standard: 'ipvs',
      help: 'ipvs; other modes are refused',
      group: 'kube-proxy',
    },
    text,
    (_draft, mode, origin) => {
      if (mode === 'ipvs' || mode === '') return;
      throw new InvalidFlagError(
        `${origin}: ${JSON.stringify(mode)} is not ipvs, and ipvs-proxier has no other mode: ` +
          'keep kube-proxy for that, or write ipvs (docs/switching.md has the steps from another mode)',
      );
    },
  ),
  setting(
    {
      flag: 'master',
      argument: '<url>',
      standard: "the kubeconfig's server",
      help: 'refused: the kubeconfig names the API server',
      group: 'kube-proxy',
    },
    text,
    (_draft, url, origin) => {
      if (url === '') return;
      throw new InvalidFlagError(`${origin} ${url}: write the server into the kubeconfig instead`);
    },
  ),
];
