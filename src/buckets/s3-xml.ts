/** Answers of S3 as trees of text. */
import { XMLParser } from 'fast-xml-parser'

/** An element's children by name; those of `repeated` always as arrays. */
export interface XmlElement {
  readonly [name: string]: unknown
}

const repeated = new Set(['Contents', 'Part', 'Upload'])

/** Text stays as it stands: keys may be numbers, or begin and end with spaces. */
const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  removeNSPrefix: true,
  parseTagValue: false,
  trimValues: false,
  // Numeric references come with this: Go's encoder writes &#34; and &#39;.
  htmlEntities: true,
  isArray: (name) => repeated.has(name),
})

/** The root element's name and content, or null where the text is no such document (a proxy's own page, nothing). */
export function parseXml(text: string): { readonly name: string; readonly root: XmlElement } | null {
  let document: unknown
  try {
    document = parser.parse(text.trim())
  } catch {
    return null
  }
  if (!isElement(document)) return null
  const [entry] = Object.entries(document)
  if (entry === undefined) return null
  return { name: entry[0], root: isElement(entry[1]) ? entry[1] : {} }
}

/** The text of a child, or '' where there is none. */
export function textOf(element: XmlElement, name: string): string {
  const value = Object.hasOwn(element, name) ? element[name] : undefined
  return typeof value === 'string' ? value : ''
}

/** The children of a name that may occur any number of times. */
export function elementsOf(element: XmlElement, name: 'Contents' | 'Part' | 'Upload'): readonly XmlElement[] {
  const value = element[name]
  return Array.isArray(value) ? value.filter(isElement) : []
}

export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function isElement(value: unknown): value is XmlElement {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
