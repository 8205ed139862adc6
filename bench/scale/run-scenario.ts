/**
 * One run of a scenario in a process of its own, in the network namespace it was started in:
 * `node --expose-gc dist/bench/scale/run-scenario.js SCENARIO OPTIONS-AS-JSON`. Prints its facts as one line of JSON.
 */
import type { Scenario, ScenarioOptions } from './facts.ts';

const [name = '', given = '{}'] = process.argv.slice(2);
const { run }: { run: Scenario } = await import(`./scenarios/${name}.js`);
const options: Partial<ScenarioOptions> = JSON.parse(given);
const facts = await run({
  services: 1000,
  endpoints: 5,
  routes: false,
  times: 1000,
  warm: false,
  seconds: 60,
  fake: false,
  ...options,
});
process.stdout.write(`${JSON.stringify(facts)}\n`);
