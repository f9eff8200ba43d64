import { nearest } from './nearest.ts'

/** Levels of the log, least important first. */
export const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

export type Level = (typeof levels)[number] | 'silent'

/** What is logged: the level of each target, by the longest prefix that names it. */
export type Filter = readonly { readonly target: string; readonly level: Level }[]

/**
 * Understands what `RUST_LOG` does: a level for everything, and levels for targets (`warn,fileloft_server=trace`).
 * Our targets start with `fileloft`, for which `fileloft_server` is another name; others are accepted and match
 * nothing.
 * @throws Error that says what is wrong.
 */
export function parseFilter(text: string): Filter {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
  const filter = parts.map(parseDirective)
  // Alone, the name of a foreign target would switch off everything: a misspelt level, rather.
  const [only] = filter
  const isForeign = only !== undefined && only.target !== '' && !only.target.startsWith('fileloft')
  if (isForeign && parts.length === 1 && !text.includes('=')) throw unknownLevel(text)
  return filter
}

/** The level at which a target logs. */
export function levelOf(filter: Filter, target: string): Level {
  let best = { target: '', level: filter.length === 0 ? 'info' : 'silent' } as Filter[number]
  for (const directive of filter) {
    if (target.startsWith(directive.target) && directive.target.length >= best.target.length) best = directive
  }
  return best.level
}

function parseDirective(part: string): Filter[number] {
  const [target = '', name, ...more] = part.split('=')
  if (name === undefined) {
    const level = parseLevel(target)
    if (level !== null) return { target: '', level }
    if (!targetPattern.test(target) || nearest(target.toLowerCase(), levels) !== null) throw unknownLevel(target)
    return { target: normalize(target), level: 'trace' }
  }
  const level = parseLevel(name)
  if (level === null || more.length > 0) throw unknownLevel(name)
  if (!targetPattern.test(target)) throw new Error(`${JSON.stringify(target)} is no target`)
  return { target: normalize(target), level }
}

const targetPattern = /^[A-Za-z_][\w.:-]*$/

function normalize(target: string): string {
  return target.replace(/^fileloft_server/, 'fileloft')
}

function parseLevel(text: string): Level | null {
  const name = text.toLowerCase()
  if (name === 'off') return 'silent'
  return levels.find((level) => level === name) ?? null
}

function unknownLevel(text: string): Error {
  return new Error(`${JSON.stringify(text)} is no level; there are ${levels.join(', ')} and off`)
}
