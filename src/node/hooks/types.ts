import { nearest } from '../nearest.ts'

/** What a receiver can be told of, by tusd's names, in the order in which an upload meets them. */
export const hookTypes = [
  'pre-create',
  'post-create',
  'post-receive',
  'pre-finish',
  'post-finish',
  'pre-terminate',
  'post-terminate',
] as const

export type HookType = (typeof hookTypes)[number]

/** Those that are waited for, and decide. */
export type BlockingType = Extract<HookType, `pre-${string}`>

/** Those that are kept until they are delivered. */
export const keptTypes = ['post-create', 'post-finish', 'post-terminate'] as const
export type KeptType = (typeof keptTypes)[number]

/** What tusd sends unless it is told otherwise. */
export const defaultTypes = 'pre-create,post-create,post-receive,post-terminate,post-finish'

/**
 * Understands names separated by commas.
 * @throws Error that says which one is none, and which may be meant.
 */
export function parseTypes(text: string): ReadonlySet<HookType> {
  const names = text.split(',').map((name) => name.trim())
  const types = new Set(names.filter((name) => name !== '').map(parseType))
  if (types.size === 0) throw new Error('there is none')
  return types
}

function parseType(name: string): HookType {
  const type = hookTypes.find((known) => known === name)
  if (type !== undefined) return type
  const near = nearest(name, hookTypes)
  throw new Error(`${JSON.stringify(name)} is none${near === null ? '' : `; ${near} may be meant`}`)
}
