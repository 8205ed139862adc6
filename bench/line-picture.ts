/** Lines over a horizontal axis as SVG, from zero upwards: what is flat looks flat, what is straight looks straight. */
import { text } from './svg-text.ts';

export interface Line {
  readonly label: string;
  /** As many as there are places on the horizontal axis; NaN = nothing there. */
  readonly values: readonly number[];
  /** To compare with: thin and broken. */
  readonly isReference?: boolean;
}

export interface LinePicture {
  readonly heading: string;
  /** Under it: where and how it was measured. */
  readonly note: string;
  readonly across: { readonly title: string; readonly values: readonly number[]; readonly isLogarithmic?: boolean };
  readonly up: { readonly title: string; readonly isLogarithmic?: boolean };
  readonly lines: readonly Line[];
  /** With marks, where the points are few. */
  readonly marks?: boolean;
}

const width = 860;
const height = 400;
const [left, right, top, bottom] = [70, 24, 64, 60];
const colours = ['#2f6fab', '#c46f2a', '#4c8c4a', '#8a5fa8'];
const referenceColour = '#888';
const UP_TICKS = 5;
const ACROSS_TICKS = 10;

export function linePicture({ heading, note, across, up, lines, marks = false }: LinePicture): string {
  const values = lines.flatMap((line) => line.values).filter((value) => Number.isFinite(value) && value > 0);
  const highest = 1.1 * Math.max(...values, Number.MIN_VALUE);
  const lowest = up.isLogarithmic === true ? Math.min(...values) / 1.5 : 0;
  const isEven = across.isLogarithmic !== true;
  const furthest = Math.max(...across.values);
  const x = scale(isEven ? 0 : Math.min(...across.values), furthest, left, width - right, across.isLogarithmic);
  const y = scale(lowest, highest, height - bottom, top, up.isLogarithmic);
  const ticks = up.isLogarithmic === true ? logarithmicSteps(lowest, highest) : roundSteps(highest, UP_TICKS);
  const places = isEven ? roundSteps(furthest, ACROSS_TICKS) : across.values;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="white"/>',
    text(12, 18, heading, 'font-weight="bold"'),
    text(12, 34, note, 'font-size="10" fill="#555"'),
    ...ticks.flatMap((value) => [
      `<line x1="${left}" x2="${width - right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" stroke="#e4e4e4"/>`,
      text(left - 6, y(value) + 4, label(value), 'text-anchor="end"'),
    ]),
    ...places.map((value) => text(x(value), height - bottom + 18, label(value), 'text-anchor="middle"')),
    text((left + width - right) / 2, height - bottom + 36, across.title, 'text-anchor="middle"'),
    text(left - 60, top - 8, up.title),
    ...lines.flatMap((line, index) => drawn(line, index, across.values, x, y, marks)),
    '</svg>',
    '',
  ].join('\n');
}

function drawn(
  { label: name, values, isReference = false }: Line,
  index: number,
  places: readonly number[],
  x: (value: number) => number,
  y: (value: number) => number,
  marks: boolean,
): string[] {
  const colour = isReference ? referenceColour : (colours[index % colours.length] ?? referenceColour);
  const points = places.flatMap((place, at) => {
    const value = values[at] ?? Number.NaN;
    return Number.isFinite(value) ? [[x(place), y(value)] as const] : [];
  });
  const path = points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(' ');
  const legend = left + index * 260;
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="${isReference ? 1 : 1.6}"${isReference ? ' stroke-dasharray="5 4"' : ''}/>`,
    ...(marks && !isReference
      ? points.map(([px, py]) => `<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="3" fill="${colour}"/>`)
      : []),
    `<rect x="${legend}" y="${height - 14}" width="12" height="4" fill="${colour}"/>`,
    text(legend + 18, height - 8, name),
  ];
}

function scale(
  from: number,
  to: number,
  start: number,
  end: number,
  isLogarithmic: boolean = false,
): (value: number) => number {
  const of = isLogarithmic
    ? (value: number): number => Math.log(Math.max(value, from))
    : (value: number): number => value;
  const span = of(to) - of(from) || 1;
  return (value) => start + ((of(value) - of(from)) / span) * (end - start);
}

/** Multiples of 1, 2 or 5 times a power of ten, from 0. */
function roundSteps(highest: number, count: number): number[] {
  const raw = highest / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10);
  return Array.from({ length: Math.floor(highest / step) + 1 }, (_, index) => index * step);
}

/** 1, 2 and 5 times the powers of ten. */
function logarithmicSteps(lowest: number, highest: number): number[] {
  const first = Math.floor(Math.log10(lowest));
  const powers = Array.from(
    { length: Math.ceil(Math.log10(highest)) - first + 1 },
    (_, index) => 10 ** (first + index),
  );
  return powers
    .flatMap((power) => [power, 2 * power, 5 * power])
    .filter((value) => value >= lowest && value <= highest);
}

function label(value: number): string {
  return value >= 10 || Number.isInteger(value) ? Math.round(value).toLocaleString('en') : value.toPrecision(2);
}
