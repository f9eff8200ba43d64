import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { parseArgs } from 'node:util'
import * as v from 'valibot'
import { checkAuthorization } from './auth/check.ts'
import { type Filter, parseFilter } from './filter.ts'
import { type Backend, chooseBackend } from './backend.ts'
import { nearest } from './nearest.ts'
import { redact } from './redact.ts'
import type { TracingSettings } from './tracing/feature.ts'
import { flagOf, type Variable, variables } from './variables.ts'

type Settings = { readonly [K in keyof typeof variables]: ValueOf<(typeof variables)[K]> }
type ValueOf<V> = V extends Variable<infer T> ? T : never

/** The configuration of the server, checked as a whole. Worker threads get it by structured clone. */
export interface Config extends Omit<Settings, 'log' | 'backend'> {
  readonly backend: Backend
  readonly log: Filter
  /** Null = no traces. */
  readonly tracing: TracingSettings | null
  /** What is odd but no mistake, to be said in the log. */
  readonly warnings: readonly string[]
}

/** What the command line asks for. */
export interface CommandLine {
  readonly command: (typeof commands)[number] | 'help' | 'version'
  /** What `fileloft hooks replay` names: ids of events, or all that are dead. Null for a list. */
  readonly replay: readonly string[] | 'all' | null
  /** Whether `fileloft import` shall only tell what it would do. */
  readonly dryRun: boolean
  readonly config: Config
}

/** Everything that is wrong with a configuration. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  /** One sentence for each problem. */
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

type Environment = Readonly<Record<string, string | undefined>>
interface Source {
  readonly text: string
  /** How it was given, for messages. */
  readonly label: string
}

const commands = ['serve', 'check', 'health', 'sweep', 'sign', 'upload', 'hooks', 'import'] as const
const entries = Object.entries(variables) as [keyof Settings, Variable<unknown>][]
const names = entries.map(([, { name }]) => name)
/** What other servers call it, which nothing here is like. */
const elsewhere = new Map([
  ['port', 'bind'],
  ['host', 'bind'],
  ['dir', 'data-dir'],
  ['upload-dir', 'data-dir'],
])

/**
 * Reads the command line and the environment; a flag wins over its variable.
 * @throws ConfigError with all problems at once.
 */
export function readCommandLine(args: readonly string[], environment: Environment = process.env): CommandLine {
  const { command, replay, dryRun, flags, problems } = readArguments(args)
  const line = { command, replay, dryRun }
  if (command === 'help' || command === 'version') return { ...line, config: readConfig({}, new Map(), []) }
  const config = readConfig(environment, flags, problems)
  if (replay !== null && config.hooksUrl === undefined && config.hooksDir === undefined) {
    throw new ConfigError([`replay needs ${variables.hooksUrl.name} or ${variables.hooksDir.name}`])
  }
  if (command === 'import' && config.backend !== 'fs') {
    throw new ConfigError([`import is for uploads on a disk; the configuration names the backend ${config.backend}`])
  }
  return { ...line, config }
}

/**
 * Node has four threads for files; an upload that is synced holds one while the disk works. To be called before
 * anything uses them.
 */
export function widenThreadPool(threads: number): void {
  process.env['UV_THREADPOOL_SIZE'] ??= String(threads)
}

/** Where a command keeps what it remembers for its user, by the XDG Base Directory Specification. */
export function stateDirectory(environment: Environment = process.env): string {
  const configured = environment['XDG_STATE_HOME'] ?? ''
  return join(isAbsolute(configured) ? configured : join(homedir(), '.local', 'state'), 'fileloft')
}

/** Secrets that the clients of the storages, and of OpenTelemetry, read by themselves. */
const otherSecrets =
  /^(?:AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|CONTAINER_AUTHORIZATION_TOKEN)|AZURE_.*(?:KEY|SECRET|PASSWORD|TOKEN|CONNECTION_STRING)|GOOGLE_APPLICATION_CREDENTIALS|OTEL_.*HEADERS)$/

/** What programs that the server starts find in their environment: everything but its secrets. */
export function environmentForPrograms(environment: Environment = process.env): Environment {
  const secrets = new Set(
    entries.filter(([, { isSecret }]) => isSecret).flatMap(([, { name, fallbacks = [] }]) => [name, ...fallbacks]),
  )
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !secrets.has(name) && !otherSecrets.test(name)),
  )
}

function readConfig(environment: Environment, flags: ReadonlyMap<string, Source>, before: readonly string[]): Config {
  const problems = [...before, ...unknownVariables(environment)]
  const given = new Set<string>()
  const settings: Record<string, unknown> = {}
  for (const [key, variable] of entries) {
    const { name, schema } = variable
    const source = flags.get(name) ?? { text: environment[name] ?? '', label: name }
    // Saying what is the default anyway contradicts nothing.
    if (source.text !== '' && source.text !== variable.default) given.add(key)
    const other = source.text === '' ? fallbackOf(variable, environment) : null
    const { text, label } = other ?? source
    const input = text === '' ? variable.default : text
    if (input === undefined) continue
    const result = v.safeParse(schema, input)
    if (result.success) settings[key] = result.output
    else problems.push(problemOf(variable, label, input, result.issues[0].message))
  }
  const warnings: string[] = []
  problems.push(...contradictions(settings, given))
  const backend = chooseBackend(settings, given)
  const authorization = checkAuthorization(settings, given)
  problems.push(...backend.problems, ...authorization.problems)
  warnings.push(...backend.warnings, ...authorization.warnings)
  if (problems.length > 0) throw new ConfigError(problems)
  const log = (settings['log'] as Filter | undefined) ?? rustLog(environment, warnings)
  const config = settings as unknown as Settings
  if (config.baseUrl !== undefined && config.behindProxy) {
    warnings.push('FILELOFT_BASE_URL decides Location; the headers FILELOFT_BEHIND_PROXY trusts have no say in it')
  }
  return { ...config, backend: backend.name, log, tracing: tracingOf(environment), warnings }
}

/** What another program's variable says, where one of those that count is set. */
function fallbackOf({ fallbacks = [] }: Variable<unknown>, environment: Environment): Source | null {
  const name = fallbacks.find((each) => (environment[each] ?? '') !== '')
  return name === undefined ? null : { text: environment[name] ?? '', label: name }
}

function problemOf({ isSecret }: Variable<unknown>, label: string, text: string, allowed: string): string {
  return `${label} is ${isSecret ? 'set to something' : JSON.stringify(redact(text))}; it must be ${allowed}`
}

function unknownVariables(environment: Environment): string[] {
  return Object.keys(environment)
    .filter((name) => name.startsWith('FILELOFT_') && !names.includes(name))
    .sort()
    .map((name) => `${name} is no variable of fileloft${suggestion(nearest(name, names))}`)
}

function suggestion(near: string | null): string {
  return near === null ? '' : `; ${near} may be meant`
}

function rustLog(environment: Environment, warnings: string[]): Filter {
  const text = environment['RUST_LOG'] ?? ''
  try {
    return parseFilter(text)
  } catch (error) {
    // Others may have set it for themselves.
    warnings.push(`RUST_LOG is not understood and not used: ${error instanceof Error ? error.message : String(error)}`)
    return []
  }
}

/** Whether the standard variables of OpenTelemetry ask for traces; its SDK reads all others by itself. */
function tracingOf(environment: Environment): TracingSettings | null {
  const isSet = (name: string) => (environment[name] ?? '').trim() !== ''
  const exporter = environment['OTEL_TRACES_EXPORTER']?.trim() ?? ''
  const asked =
    exporter !== '' || ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'].some((name) => isSet(name))
  const disabled = environment['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true'
  if (!asked || disabled || exporter === 'none') return null
  const isNamed =
    isSet('OTEL_SERVICE_NAME') || /(^|,)\s*service\.name\s*=/.test(environment['OTEL_RESOURCE_ATTRIBUTES'] ?? '')
  return { serviceName: isNamed ? undefined : 'fileloft' }
}

/** Settings that make no sense together: nothing that was set is silently without effect. */
function contradictions(settings: Partial<Settings>, given: ReadonlySet<string>): string[] {
  const nameOf = (key: keyof Settings) => variables[key].name
  const problems: string[] = []
  const together = (a: keyof Settings, b: keyof Settings) => {
    if (given.has(a) && given.has(b)) problems.push(`${nameOf(a)} and ${nameOf(b)} cannot both be set`)
  }
  const needs = (a: keyof Settings, b: keyof Settings, on: boolean) => {
    if (given.has(a) && !on) problems.push(`${nameOf(a)} needs ${nameOf(b)}`)
  }
  for (const key of ['bind', 'tlsCert'] as const) together('unixSocket', key)
  needs('unixSocketMode', 'unixSocket', given.has('unixSocket'))
  needs('tlsCert', 'tlsKey', given.has('tlsKey'))
  needs('tlsKey', 'tlsCert', given.has('tlsCert'))
  needs('tlsMode', 'tlsCert', given.has('tlsCert'))
  if (settings.enableH2c === true) together('enableH2c', 'tlsCert')
  for (const key of keysOf('cors')) {
    if (settings.disableCors === true && given.has(key)) together('disableCors', key)
  }
  if (settings.corsAllowCredentials === true && settings.corsAllowOrigin?.includes('*') === true) {
    problems.push(`${nameOf('corsAllowCredentials')} needs ${nameOf('corsAllowOrigin')} to name origins instead of *`)
  }
  if (settings.enableExpiration === true) needs('enableExpiration', 'expirationTtl', given.has('expirationTtl'))
  needs('expirationTtl', 'enableExpiration', settings.enableExpiration !== false)
  needs('minRateWindow', 'minRate', given.has('minRate'))
  needs('maxBytesPeriod', 'maxBytesPerClient', given.has('maxBytesPerClient'))
  if (settings.metrics === true) together('metrics', 'metricsBind')
  const sweeps = settings.enableExpiration !== false || settings.enableConcatenation !== false
  needs('sweepInterval', 'enableExpiration', sweeps)
  if (settings.enableCleanupConcatPartials === true) {
    needs('enableCleanupConcatPartials', 'enableConcatenation', settings.enableConcatenation !== false)
  }
  for (const key of ['disableCreationWithUpload', 'disableDeferLength', 'enableConcatenation'] as const) {
    if (settings.disableCreation === true && settings[key] === true) together('disableCreation', key)
  }
  if (settings.demo === true) {
    if (settings.basePath === '/') problems.push('FILELOFT_DEMO is a page at /: it needs another FILELOFT_BASE_PATH')
    // The page has no credentials to send.
    for (const key of ['disableCreation', ...credentials] as const) together('demo', key)
  }
  return [...problems, ...hookProblems(given)]
}

const credentials = ['authTokens', 'authJwksUrl', 'authJwtSecret', 'authJwtPublicKey', 'authUrlSecret'] as const

/** @returns what speaks against the settings of hooks. */
function hookProblems(given: ReadonlySet<string>): string[] {
  const { hooksUrl, hooksDir, ...others } = Object.fromEntries(keysOf('hooks').map((key) => [key, variables[key].name]))
  if (given.has('hooksUrl') && given.has('hooksDir')) return [`${hooksUrl} and ${hooksDir} cannot both be set`]
  if (given.has('hooksUrl')) return []
  const problems: string[] = []
  for (const [key, name] of Object.entries(others).filter(([key]) => given.has(key))) {
    const isOfUrls = key === 'hooksSecret' || key === 'hooksForwardHeaders'
    if (isOfUrls) problems.push(`${name} needs ${hooksUrl}`)
    else if (!given.has('hooksDir')) problems.push(`${name} needs ${hooksUrl} or ${hooksDir}`)
  }
  return problems
}

function keysOf(prefix: string): (keyof Settings)[] {
  return entries.map(([key]) => key).filter((key) => key.startsWith(prefix))
}

function readArguments(args: readonly string[]): {
  command: CommandLine['command']
  replay: CommandLine['replay']
  dryRun: boolean
  flags: Map<string, Source>
  problems: string[]
} {
  const options: Record<string, { type: 'boolean' | 'string'; short?: string }> = {
    help: { type: 'boolean', short: 'h' },
    version: { type: 'boolean', short: 'V' },
    all: { type: 'boolean' },
    'dry-run': { type: 'boolean' },
  }
  for (const [, { name, isSwitch }] of entries) options[flagOf(name)] = { type: isSwitch ? 'boolean' : 'string' }
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true })

  const flags = new Map<string, Source>()
  const problems: string[] = []
  const words: string[] = []
  let special: 'help' | 'version' | null = null
  let all = false
  let dryRun = false
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value)
    if (token.kind !== 'option') continue
    const { name: flag, value, rawName } = token
    if (flag === 'help' || flag === 'version') {
      special ??= flag
      continue
    }
    if (flag === 'all') {
      all = true
      continue
    }
    if (flag === 'dry-run') {
      dryRun = true
      continue
    }
    const variable = entries.find(([, { name }]) => flagOf(name) === flag)?.[1]
    if (variable === undefined) {
      const near = elsewhere.get(flag) ?? nearest(flag, [...names.map(flagOf), 'help', 'version'])
      problems.push(`${rawName} is no flag of fileloft${suggestion(near && `--${near}`)}`)
    } else if (flags.has(variable.name)) {
      problems.push(`--${flag} is given twice`)
    } else {
      const text = value ?? (variable.isSwitch ? 'true' : undefined)
      const missing = text === undefined || (!token.inlineValue && text.startsWith('--'))
      if (missing) problems.push(`--${flag} needs a value`)
      else flags.set(variable.name, { text, label: `--${flag}` })
    }
  }
  const [word = 'serve', ...more] = words
  const command = commands.find((known) => known === word)
  if (command === undefined) {
    problems.push(`${JSON.stringify(word)} is no command${suggestion(nearest(word, commands))}`)
  }
  if (command === 'sign' || command === 'upload') {
    problems.push(`${command} must be the first word, and has flags of its own: fileloft ${command} --help`)
  }
  const replay = command === 'hooks' ? readReplay(more, all, problems) : null
  if (command !== 'hooks') {
    for (const extra of more) problems.push(`${JSON.stringify(extra)} is one word too many`)
    if (all) problems.push('--all is for `fileloft hooks replay`')
  }
  if (dryRun && command !== 'import') problems.push('--dry-run is for `fileloft import`')
  return { command: special ?? command ?? 'serve', replay, dryRun, flags, problems }
}

/** What stands after `hooks`. */
function readReplay(words: readonly string[], all: boolean, problems: string[]): CommandLine['replay'] {
  const [word, ...ids] = words
  if (word === undefined) {
    if (all) problems.push('--all is for `fileloft hooks replay`')
    return null
  }
  if (word !== 'replay')
    problems.push(`${JSON.stringify(word)} is no command of hooks${suggestion(nearest(word, ['replay']))}`)
  else if (all === ids.length > 0) problems.push('replay needs the ids of events, or --all')
  return all ? 'all' : ids
}
