/** What the fields of a stored record must be: records may hold anything by the time they are read. */
import type { Attributes, Concat } from './store.ts'

/** A value for an error message; records may hold anything, of any size. */
export function brief(value: unknown): string {
  const text = value === undefined ? 'missing' : JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}...` : text
}

/** An object, as JSON knows it: no list, not null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isString(value: unknown): value is string {
  return typeof value === 'string'
}

export function isStringOrNull(value: unknown): value is string | null {
  return value === null || isString(value)
}

export function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean'
}

/** A number of bytes, of milliseconds or the like: whole, from 0 to 2^53-1. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

export function isCountOrNull(value: unknown): value is number | null {
  return value === null || isCount(value)
}

/** Text by name. */
export function isAttributes(value: unknown): value is Attributes {
  return isObject(value) && Object.values(value).every(isString)
}

/** How an upload takes part in a concatenation, with no fields but those. */
export function isConcat(value: unknown): value is Concat | null {
  if (value === null) return true
  if (!isObject(value)) return false
  const keys = Object.keys(value).length
  if (value['type'] === 'partial') return keys === 1
  const { partials } = value
  return (
    value['type'] === 'final' && keys === 3 && isString(value['value']) && isArray(partials) && partials.every(isString)
  )
}

function isArray(value: unknown): value is unknown[] {
  return Array.isArray(value)
}
