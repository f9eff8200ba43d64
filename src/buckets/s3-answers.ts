/** What the headers of S3's answers say. */
import { StoreError } from '../errors.ts'

/** Of the whole object, also where the answer has a range of it. */
export function sizeOf(response: Response, name: string): number {
  const text = response.headers.get('content-range')?.split('/')[1] ?? response.headers.get('content-length')
  return count(text, name)
}

/** The ETag as it stands, quotes included: services differ in what they make of another form. */
export function versionOf(response: Response, name: string): string {
  return required(response.headers.get('etag'), 'ETag', name)
}

/** A whole number. */
export function count(text: string | null, name: string): number {
  if (text !== null && /^\d{1,15}$/.test(text)) return Number(text)
  throw new StoreError('unavailable', `${name}: an answer without a size`, { transient: true })
}

export function required(text: string | null, what: string, name: string): string {
  if (text !== null && text !== '') return text
  throw new StoreError('unavailable', `${name}: an answer without ${what}`, { transient: true })
}
