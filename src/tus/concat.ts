import { TusError } from '../errors.ts'
import type { Locator } from '../location.ts'
import type { Concat } from '../store.ts'
import type { Context } from '../upload/context.ts'

/** Reads `Upload-Concat`. @throws TusError 400 when it is malformed or names what is not an upload's URL here. */
export function parseConcat(context: Context, value: string | null, locator: Locator): Concat | null {
  if (value === null) return null
  if (!context.extensions.has('concatenation')) {
    throw new TusError('extension_off', 'Upload-Concat is not supported here')
  }
  if (value === 'partial') return { type: 'partial' }
  if (!value.startsWith('final;')) {
    throw new TusError('invalid_header', 'Upload-Concat must be partial, or final; and the URLs of partial uploads')
  }
  const partials = value
    .slice('final;'.length)
    .split(' ')
    .filter((url) => url !== '')
    .map((url) => {
      const id = locator.idOf(url)
      if (id === null) throw new TusError('invalid_header', `Upload-Concat names ${url}, which is no upload URL here`)
      return id
    })
  if (partials.length === 0) throw new TusError('invalid_header', 'Upload-Concat: final; names no partial upload')
  return { type: 'final', value, partials }
}
