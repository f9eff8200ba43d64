import type { Operation } from '../../hooks.ts'

/** The scopes of which one is needed, the plainest one first. Who may write must be able to ask where to go on. */
const needed: Readonly<Record<Exclude<Operation, 'options'>, readonly string[]>> = {
  create: ['uploads:create'],
  concatenate: ['uploads:create'],
  append: ['uploads:write'],
  inspect: ['uploads:write', 'uploads:read'],
  download: ['uploads:read'],
  terminate: ['uploads:delete'],
}

/** The scopes of which a token needs one for this. */
export function scopesFor(operation: Operation): readonly string[] {
  return operation === 'options' ? [] : needed[operation]
}

/** The scopes that a claim holds: text with spaces between them (RFC 8693, 4.2) or a list of texts. */
export function scopesOf(claim: unknown): ReadonlySet<string> {
  if (typeof claim === 'string') return new Set(claim.split(' '))
  return new Set(Array.isArray(claim) ? claim.filter((each) => typeof each === 'string') : [])
}
