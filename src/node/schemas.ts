/** What the texts of settings may be, and what they become. */
import * as v from 'valibot'
import { parseSize } from './size.ts'

/** Turns text into a value, or says what it should have been. */
export function parsed<T>(allowed: string, parse: (text: string) => T | null): v.GenericSchema<string, T> {
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      try {
        const value = parse(dataset.value)
        if (value !== null) return value
        addIssue({ message: allowed })
      } catch (error) {
        addIssue({ message: `${allowed}: ${error instanceof Error ? error.message : String(error)}` })
      }
      return NEVER
    }),
  )
}

export const boolean = parsed('true, false, 1 or 0', (text) =>
  /^(true|1)$/i.test(text) ? true : /^(false|0)$/i.test(text) ? false : null,
)
export const longestTimer = 2_147_483
export const seconds = (least: number, most: number) =>
  parsed(`seconds from ${least} to ${most}`, (text) => {
    const value = Number(text)
    return /^\d+(\.\d+)?$/.test(text) && value >= least && value <= most ? value : null
  })
export const size = parsed('bytes, or a size such as 10GiB, 500MB or 64KiB', parseSize)
export const text = parsed('text', (value) => value)
export const headerNames = parsed('names of headers, separated by commas', (value) => {
  const names = value.split(',').map((name) => name.trim())
  return names.every((name) => /^[\w!#$%&'*+.^`|~-]+$/.test(name)) ? names : null
})
export const basePath = parsed("a path of letters, digits and -._~!$&'()+,;=:@/ such as /files/", (value) => {
  const path = `/${value.replace(/^\/+|\/+$/g, '')}`
  return /^\/(?:[\w\-.~!$&'()+,;=:@]+\/)*[\w\-.~!$&'()+,;=:@]*$/.test(path) && !/\/\.\.?(\/|$)/.test(path) ? path : null
})
export const baseUrl = parsed('an http or https URL without user, query and fragment', (value) => {
  const url = URL.parse(value)
  if (url === null || !/^https?:$/.test(url.protocol)) return null
  return url.username === '' && url.password === '' && !/[?#]/.test(value) ? value : null
})
export const endpoint = parsed('an http or https URL such as http://localhost:9000', (value) => {
  // Emulators are often named without a scheme.
  const url = URL.parse(/^https?:\/\//i.test(value) ? value : `http://${value}`)
  return url === null || url.username !== '' || /[?#]/.test(value) ? null : url.href.replace(/\/$/, '')
})
export const count = (least: number, most: number) =>
  parsed(`a whole number from ${least} to ${most}`, (value) => {
    const number = Number(value)
    return /^\d+$/.test(value) && number >= least && number <= most ? number : null
  })
export const sizeFrom = (least: string, most: string) =>
  parsed(`bytes or a size such as 64MiB, from ${least} to ${most}`, (value) => {
    const bytes = parseSize(value)
    return bytes !== null && bytes >= (parseSize(least) ?? 0) && bytes <= (parseSize(most) ?? 0) ? bytes : null
  })
export const prefix = parsed('printable text such as uploads/', (value) =>
  /[\p{Cc}\ufffd]/u.test(value) ? null : value,
)
export const mode = parsed('a file mode in octal, such as 0660', (value) =>
  /^0?[0-7]{3}$/.test(value) ? Number.parseInt(value, 8) : null,
)
export const oneOf = <T extends string>(...names: readonly T[]) =>
  parsed(names.join(', '), (value) => names.find((name) => name === value.toLowerCase()) ?? null)

export const hooksUrl = parsed('an http or https URL without user and fragment', (value) => {
  const url = URL.parse(value)
  if (url === null || !/^https?:\/\//i.test(value)) return null
  return url.username === '' && url.password === '' && !value.includes('#') ? url.href : null
})
/** What belongs to one connection, or is ours to say. */
const unforwardable =
  /^(?:connection|content-.*|expect|host|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|user-agent|webhook-.*)$/i
export const forwardable = parsed('names of headers, separated by commas', (value) => {
  const names = value.split(',').map((name) => name.trim())
  const bad = names.find((name) => unforwardable.test(name))
  if (bad !== undefined) throw new Error(`${bad} cannot be forwarded`)
  return names.every((name) => /^[\w!#$%&'*+.^`|~-]+$/.test(name)) ? names : null
})
