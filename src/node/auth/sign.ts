import { parseArgs } from 'node:util'
import { createSigner, type CreationOptions, type Signer } from '../../grants/signer.ts'
import { type Config, ConfigError, readCommandLine } from '../config.ts'
import { parseSize } from '../size.ts'

const options = {
  url: { type: 'string' },
  upload: { type: 'string' },
  id: { type: 'string' },
  operations: { type: 'string' },
  'expires-in': { type: 'string' },
  'create-within': { type: 'string' },
  'max-size': { type: 'string' },
  type: { type: 'string', multiple: true },
  metadata: { type: 'string', multiple: true },
  claim: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** What goes with the creation of an upload only. */
const ofCreation = ['id', 'create-within', 'max-size', 'type', 'metadata'] as const

const help = `fileloft sign: prints a URL that lets in without any other credential

Usage: FILELOFT_AUTH_URL_SECRET=... fileloft sign [flags]

For one upload, to be created and then used:
  --max-size SIZE        bytes it may have: a number, or 10GiB, 500MB
  --type TYPE            what its filetype may be, such as image/*; several by giving it again
  --metadata NAME=VALUE  metadata that it gets, whatever the client says; likewise
  --id ID                its id [made at random]
  --create-within SECS   seconds until it must have been created [3600]
For one that exists:
  --upload ID            its id
For both:
  --operations LIST      inspect, append, download, terminate; with commas between them [inspect,append]
  --expires-in SECS      seconds until nothing is allowed any more [86400]
  --claim NAME=VALUE     for hooks and FILELOFT_AUTH_OWNER_CLAIM, such as sub=user-7; several by giving it again
  --url URL              public URL of the endpoint [FILELOFT_BASE_URL, else what FILELOFT_BIND listens on]
  --json                 print url, uploadUrl and uploadId as JSON`

type Flags = ReturnType<typeof parse>
type Operations = NonNullable<CreationOptions['operations']>

/**
 * What `fileloft sign` prints. The secret comes from the environment: a command line is there for all to see.
 * @throws ConfigError with what is wrong.
 */
export async function sign(args: readonly string[]): Promise<string> {
  const flags = parse(args)
  if (flags.help === true) return help
  const { config } = readCommandLine([])
  const { authUrlSecret: secret } = config
  const problems: string[] = []
  const wrong = (flag: string, allowed: string) => {
    problems.push(`--${flag} is ${JSON.stringify(flags[flag as keyof Flags])}; it must be ${allowed}`)
    return undefined
  }
  const seconds = (flag: 'expires-in' | 'create-within') => {
    const text = flags[flag]
    if (text === undefined) return undefined
    return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : wrong(flag, 'whole seconds')
  }
  const pairs = (flag: 'metadata' | 'claim') => {
    const texts = flags[flag] ?? []
    if (!texts.every((text) => /^[^=]+=/.test(text))) return wrong(flag, 'NAME=VALUE')
    return Object.fromEntries(texts.map((text) => [text.split('=', 1)[0], text.slice(text.indexOf('=') + 1)]))
  }
  const maxSize = flags['max-size'] === undefined ? undefined : parseSize(flags['max-size'])
  if (maxSize === null) wrong('max-size', 'bytes, or a size such as 10GiB, 500MB or 64KiB')
  if (secret === undefined) problems.push('FILELOFT_AUTH_URL_SECRET is needed to sign URLs')
  for (const flag of flags.upload === undefined ? [] : ofCreation) {
    if (flags[flag] !== undefined) problems.push(`--${flag} does not go with --upload`)
  }
  const given = {
    operations: flags.operations?.split(',').map((name) => name.trim()) as Operations | undefined,
    expiresInSeconds: seconds('expires-in'),
    createWithinSeconds: seconds('create-within'),
    maxSize: maxSize ?? undefined,
    types: flags.type,
    metadata: pairs('metadata'),
    claims: pairs('claim'),
    id: flags.id,
  }
  if (secret === undefined || problems.length > 0) throw new ConfigError(problems)
  try {
    const signer = createSigner({ secret, url: flags.url ?? endpointOf(config) })
    const signed = await signWith(signer, flags.upload, withoutUndefined(given))
    return flags.json === true ? JSON.stringify(signed) : signed.url
  } catch (error) {
    // What the signer says of its options is meant for whoever gives them.
    throw error instanceof TypeError ? new ConfigError([error.message]) : error
  }
}

async function signWith(signer: Signer, upload: string | undefined, given: CreationOptions): Promise<{ url: string }> {
  if (upload === undefined) return signer.signCreation(given)
  const url = await signer.signUpload(upload, given)
  return Object.assign({ url }, { uploadUrl: url, uploadId: upload })
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options }).values
  } catch (error) {
    const [sentence = ''] = (error instanceof Error ? error.message : String(error)).split('. ', 1)
    throw new ConfigError([`${sentence}: fileloft sign --help`])
  }
}

/** Where the server can be found on this machine, where nothing says where others find it. */
function endpointOf({ baseUrl, bind, tlsCert, basePath }: Config): string {
  if (baseUrl !== undefined) return baseUrl
  const host = ['0.0.0.0', '::'].includes(bind.host) ? 'localhost' : bind.host
  const scheme = tlsCert === undefined ? 'http' : 'https'
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${bind.port}${basePath}`
}

/** What is left out takes its default. */
function withoutUndefined(given: { [K in keyof CreationOptions]: CreationOptions[K] | undefined }): CreationOptions {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}
