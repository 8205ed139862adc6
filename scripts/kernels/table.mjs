/** The text of docs/kernels.md. */

/** `columns`: one per kernel, with one cell for each of `names`. */
export function kernelTable(names, columns) {
  const tried = columns.filter(({ problem }) => problem === undefined);
  const rows = names.map((name, index) => [
    `test/${name}.test.ts`,
    ...tried.map(({ cells }) => cellText(cells[index])),
  ]);
  const head = ['', ...tried.map(({ suite, release }) => `Linux ${release} (${suite})`)];
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  const problems = columns
    .filter(({ problem }) => problem !== undefined)
    .map(({ suite, problem }) => `\n${suite} could not be tried: ${problem.split('\n').at(-1)}\n`);
  return `# Kernels

Written by \`npm run test:kernels\`: User Mode Linux of this Debian (\`installed\`) and of later suites, the same tests, one machine
per test file. A number is that of the tests that passed. "no ip_tables": that kernel build has neither ip_tables nor an nftables
nat for IPv4, so there is nothing that could hold the proxier's few rules; IPVS, ipset and addresses are tested all the same.

${lines.join('\n')}
${problems.join('')}`;
}

function cellText({ failed, skipped, passed, notRun, failures }) {
  if (skipped !== undefined) return `not run: ${skipped}`;
  if (failed) return failures === 0 ? '**did not finish**' : `**${failures} failed**, ${passed} passed`;
  return notRun === 0 ? `${passed} passed` : `${passed} passed, ${notRun} skipped`;
}
