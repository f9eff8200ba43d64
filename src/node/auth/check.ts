import { existsSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { join } from 'node:path'
import type { Address } from '../address.ts'
import { variables } from '../variables.ts'
import { algorithms } from './parse.ts'

type Key = keyof typeof variables
type Settings = Readonly<Partial<Record<Key, unknown>>>

/** Where the keys of JSON Web Tokens come from: one of these. */
const sources = ['authJwksUrl', 'authJwtSecret', 'authJwtPublicKey'] as const
const needSource = [
  'authIssuer',
  'authAudience',
  'authAlgorithms',
  'authLeeway',
  'authScopes',
  'authOwnerClaim',
] as const
const needUrl = ['authJwksMaxAge', 'authJwksCooldown'] as const

/** Settings of authorization that make no sense together, and what is merely odd. */
export function checkAuthorization(
  settings: Settings,
  given: ReadonlySet<string>,
): { readonly problems: readonly string[]; readonly warnings: readonly string[] } {
  const [first, second] = sources.filter((key) => given.has(key))
  const problems: string[] = []
  if (first !== undefined && second !== undefined) {
    problems.push(`${nameOf(first)} and ${nameOf(second)} cannot both be set`)
  }
  if (first === undefined) {
    const names = sources.map(nameOf).join(', ')
    for (const key of needSource) if (given.has(key)) problems.push(`${nameOf(key)} needs one of ${names}`)
  }
  for (const key of needUrl) {
    if (given.has(key) && !given.has('authJwksUrl')) problems.push(`${nameOf(key)} needs ${nameOf('authJwksUrl')}`)
  }
  if (given.has('authScopeClaim') && settings['authScopes'] === false) {
    problems.push(`${nameOf('authScopeClaim')} needs ${nameOf('authScopes')}`)
  }
  problems.push(...keyProblems(settings))
  return { problems, warnings: problems.length > 0 ? [] : oddities(settings) }
}

function keyProblems({ authAlgorithms, authJwtSecret, authUrlSecret, ...settings }: Settings): string[] {
  const named = (authAlgorithms as string[] | undefined) ?? []
  const isSymmetric = (name: string) => algorithms.secret.some((each) => each === name)
  const problems: string[] = []
  if (typeof authJwtSecret === 'string') {
    // As long as the hash (RFC 7518, 3.2).
    const bits = Math.max(256, ...named.filter(isSymmetric).map((name) => Number(name.slice(2))))
    if (Buffer.byteLength(authJwtSecret) < bits / 8) {
      problems.push(`${nameOf('authJwtSecret')} must have at least ${bits / 8} bytes`)
    }
    for (const name of named.filter((each) => !isSymmetric(each))) {
      problems.push(`${nameOf('authAlgorithms')} names ${name}, which no secret can check: ${nameOf('authJwtSecret')}`)
    }
    // Or whoever gets a URL signed could have signed a token, and the other way round.
    if (Array.isArray(authUrlSecret) && authUrlSecret.includes(authJwtSecret)) {
      problems.push(`${nameOf('authUrlSecret')} and ${nameOf('authJwtSecret')} must not be the same`)
    }
  }
  const source = (['authJwksUrl', 'authJwtPublicKey'] as const).find((key) => settings[key] !== undefined)
  if (source !== undefined) {
    for (const name of named.filter(isSymmetric)) {
      problems.push(
        `${nameOf('authAlgorithms')} names ${name}, for which a public key would be no secret: ${nameOf(source)}`,
      )
    }
  }
  return problems
}

function oddities(settings: Settings): string[] {
  const { authJwksUrl, authJwtPublicKey, authAudience, bind, unixSocket } = settings
  const warnings: string[] = []
  // Whoever has the key of such tokens mostly issues them for more than one service.
  if ((authJwksUrl ?? authJwtPublicKey) !== undefined && authAudience === undefined) {
    warnings.push(`${nameOf('authAudience')} is not set: tokens that were issued for other services are taken as well`)
  }
  const keys = typeof authJwksUrl === 'string' ? URL.parse(authJwksUrl) : null
  if (keys?.protocol === 'http:' && !isLoopback(keys.hostname)) {
    warnings.push(`${nameOf('authJwksUrl')} is not https: whoever is on the way to it can let anybody in`)
  }
  const { host } = (bind as Address | undefined) ?? { host: 'localhost' }
  if (!hasAuthorization(settings) && unixSocket === undefined && !isLoopback(host)) {
    warnings.push(
      asksAboutCreations(settings)
        ? `The hook pre-create decides who may create uploads; whoever can reach ${host} and knows the id of one may use it: ` +
            'no FILELOFT_AUTH_ setting says who is let in'
        : `Whoever can reach ${host} may use this server: no FILELOFT_AUTH_ setting says who is let in`,
    )
  }
  return warnings
}

/** Whether the application has a say in who creates uploads. */
function asksAboutCreations({ hooksUrl, hooksDir, hooksEvents }: Settings): boolean {
  if (!(hooksEvents instanceof Set && hooksEvents.has('pre-create'))) return false
  // A folder has a program for an event, or not.
  return hooksUrl !== undefined || (typeof hooksDir === 'string' && existsSync(join(hooksDir, 'pre-create')))
}

/** Whether any setting says who may use the server. */
export function hasAuthorization(settings: Settings): boolean {
  return [...sources, 'authTokens' as const, 'authUrlSecret' as const].some((key) => settings[key] !== undefined)
}

/** Whether only this machine can be meant. */
function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1')
  return bare === 'localhost' || bare === '::1' || (isIPv4(bare) && bare.startsWith('127.'))
}

function nameOf(key: Key): string {
  return variables[key].name
}
