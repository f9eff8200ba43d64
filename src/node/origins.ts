/**
 * `*`, exact origins and `/regular expressions/`, separated by commas; a comma inside of slashes separates nothing.
 * @throws Error that says which one is wrong.
 */
export function parseOrigins(text: string): (string | RegExp)[] {
  const rules = [...text.matchAll(/\s*(\/(?:[^/\\]|\\.)+\/|[^,]*?)\s*(?:,|$)/g)].map(([, rule = '']) => rule)
  // The pattern matches the empty rest behind the last rule, too.
  if (!text.trimEnd().endsWith(',')) rules.pop()
  return rules.map(parseOrigin)
}

function parseOrigin(rule: string): string | RegExp {
  if (rule === '*') return rule
  if (rule.length > 2 && rule.startsWith('/') && rule.endsWith('/')) return new RegExp(rule.slice(1, -1))
  const url = URL.parse(rule)
  // Browsers send it exactly so; with a path, a slash or capitals it would never match.
  if (url !== null && (url.origin === rule || (url.origin === 'null' && /^[a-z][a-z0-9+.-]*:\/\/[^/]+$/.test(rule)))) {
    return rule
  }
  const meant = url === null || url.origin === 'null' ? '' : `; ${url.origin} may be meant`
  throw new Error(`${JSON.stringify(rule)} is no origin${meant}`)
}
