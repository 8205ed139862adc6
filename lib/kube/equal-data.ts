/** Structural equality of plain data (strings, numbers, booleans, null, arrays, objects of those), as record bodies are. */
export function equalData(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Array.isArray(left)) {
    if (!Array.isArray(right) || left.length !== right.length) return false;
    for (let index = 0; index < left.length; index++) {
      if (!equalData(left[index], right[index])) return false;
    }
    return true;
  }
  if (Array.isArray(right)) return false;
  const entries = Object.entries(left);
  const others = new Map<string, unknown>(Object.entries(right));
  if (entries.length !== others.size) return false;
  return entries.every(([key, value]) => others.has(key) && equalData(value, others.get(key)));
}
