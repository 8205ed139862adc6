/**
 * How many elements maps, sets and arrays gave out while something ran: a count of what was looked at, which needs no counters in what is
 * measured, and which nothing that walks a table escapes. Loops by index alone are not seen. Not for anything that is to be fast
 * afterwards: who has replaced an iterator's `next` once has taken the short ways from the process.
 */
type Cost = (self: unknown) => number;

const one: Cost = () => 1;
const lengthOf: Cost = (self) => (Array.isArray(self) ? self.length : 0);
const sizeOf: Cost = (self) => (self instanceof Map || self instanceof Set ? self.size : 0);

const arrayWalks = [
  ...['map', 'filter', 'forEach', 'some', 'every', 'find', 'findIndex', 'findLast', 'findLastIndex', 'reduce'],
  ...['flatMap', 'flat', 'includes', 'indexOf', 'concat', 'slice', 'splice', 'sort', 'toSorted', 'reverse', 'join'],
];

export async function countVisits<T>(run: () => Promise<T>): Promise<{ readonly visits: number; readonly result: T }> {
  let visits = 0;
  const restored: (() => void)[] = [];
  const count = (target: object, names: readonly string[], cost: Cost): void => {
    for (const name of names) {
      const descriptor = Object.getOwnPropertyDescriptor(target, name);
      const original: unknown = descriptor?.value;
      if (descriptor === undefined || typeof original !== 'function') throw new RangeError(`there is no ${name}`);
      restored.push(() => Object.defineProperty(target, name, descriptor));
      const counted = function (this: unknown, ...values: unknown[]): unknown {
        visits += cost(this);
        return Reflect.apply(original, this, values);
      };
      Object.defineProperty(target, name, { ...descriptor, value: counted });
    }
  };
  const iteratorOf = (iterator: object): object => Reflect.getPrototypeOf(iterator) ?? iterator;
  count(Array.prototype, arrayWalks, lengthOf);
  count(Map.prototype, ['get', 'set', 'has', 'delete'], one);
  count(Set.prototype, ['add', 'has', 'delete'], one);
  for (const target of [Map.prototype, Set.prototype]) count(target, ['forEach'], sizeOf);
  for (const iterator of [[].values(), new Map().values(), new Set().values()]) {
    count(iteratorOf(iterator), ['next'], one);
  }
  try {
    const result = await run();
    return { visits, result };
  } finally {
    for (const restore of restored) restore();
  }
}
