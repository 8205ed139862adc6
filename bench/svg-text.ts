/** A piece of text in a picture; the attributes are the caller's own. */
export function text(x: number, y: number, content: string, attributes: string = ''): string {
  const safe = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${safe}</text>`;
}
